import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import type { ClientCredential } from '@countersign/shared-auth';
import type { Command } from 'commander';
import { localApplications, localTenantId } from './local-system.ts';
import { addressesFile, type SystemAddresses } from './system.ts';
import { UsageError } from './command-error.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** The API that is called, who calls it, and where everything is: what could be found out of it. */
export interface Target {
  /** Where this was found, for people. */
  source: string;
  /** Whether it is the local system that runs. */
  isLocal: boolean;
  authorityHost: string | undefined;
  tenantId: string | undefined;
  /** The application that calls. */
  clientId: string | undefined;
  /** Its credentials, in the order in which they are tried. */
  credential: readonly ClientCredential[];
  /** Client id of the API. */
  apiClientId: string | undefined;
  scope: string | undefined;
  /** The app role that the API demands. */
  role: string;
  takesV1: boolean;
  /** PEM certificates to trust on top of Node's. */
  ca: string | undefined;
  gatewayUrl: string | undefined;
  recordsApiUrl: string | undefined;
  /** Where the tokens of several processes, or their counts, are kept. */
  redisUrl: string | undefined;
  /** When the client secret ends, where it is known. */
  secretEndsAt: string | undefined;
}

export interface TargetOptions {
  data: string;
  as: string;
  envFile?: string;
  authority?: string;
  tenant?: string;
  client?: string;
  api?: string;
  role?: string;
  scope?: string;
  caFile?: string;
  gateway?: string;
  recordsApi?: string;
  v1?: boolean;
}

/** The options by which a command is told what to look at. */
export const addTargetOptions = (command: Command): Command =>
  command
    .option('--data <folder>', 'look at the system that `start` runs on this folder', 'data')
    .option('--as <name>', 'call as this application of that system: api2, api3 …', 'api2')
    .option('--env-file <file>', 'read the AZURE_* variables from a file, as services do')
    .option('--authority <origin>', 'AZURE_AUTHORITY_HOST')
    .option('--tenant <id>', 'AZURE_TENANT_ID')
    .option('--client <id>', 'AZURE_CLIENT_ID: the application that calls')
    .option('--api <id>', 'API_CLIENT_ID: client id of the API that is called')
    .option('--role <value>', 'app role that the API demands (default: access_as_application_API1)')
    .option('--scope <scope>', 'RECORDS_API_SCOPE (default: api://<API_CLIENT_ID>/.default)')
    .option('--ca-file <file>', 'CA_FILE: certificates to trust on top of the system’s')
    .option('--gateway <url>', 'GATEWAY_URL')
    .option('--records-api <url>', 'RECORDS_API_URL')
    .option('--v1', 'the API takes v1 tokens, too');

export const readText = (file: string, what: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${what} ${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
};

/** Addresses of the system that runs on a data folder, if one does. */
export const readAddresses = (dataFolder: string): SystemAddresses | undefined => {
  try {
    return JSON.parse(readFileSync(addressesFile(dataFolder), 'utf8')) as SystemAddresses;
  } catch {
    return undefined;
  }
};

/** The variables by which `start` would configure a caller of its records-api. */
const localVariables = (
  { entraOrigin, caFile, secretsFolder, gatewayUrl, recordsApiUrl }: SystemAddresses,
  name: string,
): Variables => {
  if (!Object.hasOwn(localApplications, name)) {
    throw new UsageError(`--as names none of ${Object.keys(localApplications).join(', ')}: ${name}`);
  }
  return {
    AZURE_AUTHORITY_HOST: entraOrigin,
    AZURE_TENANT_ID: localTenantId,
    AZURE_CLIENT_ID: localApplications[name as keyof typeof localApplications],
    AZURE_CLIENT_SECRET_FILE: join(secretsFolder, name),
    API_CLIENT_ID: localApplications.api1,
    CA_FILE: caFile,
    GATEWAY_URL: gatewayUrl,
    RECORDS_API_URL: recordsApiUrl,
  };
};

const credentialsOf = (variable: (name: string) => string | undefined): ClientCredential[] => {
  const clientSecret = variable('AZURE_CLIENT_SECRET');
  const clientSecretFile = variable('AZURE_CLIENT_SECRET_FILE');
  const certificateFile = variable('AZURE_CLIENT_CERTIFICATE_PATH');
  const certificatePassword = variable('AZURE_CLIENT_CERTIFICATE_PASSWORD');
  const federatedTokenFile = variable('AZURE_FEDERATED_TOKEN_FILE');
  return [
    ...(clientSecret === undefined ? [] : [{ clientSecret }]),
    ...(clientSecretFile === undefined ? [] : [{ clientSecretFile }]),
    ...(certificateFile === undefined
      ? []
      : [{ certificateFile, ...(certificatePassword !== undefined && { certificatePassword }) }]),
    ...(federatedTokenFile === undefined ? [] : [{ federatedTokenFile }]),
  ];
};

const chooseVariables = (
  options: TargetOptions,
  env: Variables,
): { source: string; isLocal: boolean; variables: Variables } => {
  if (options.envFile !== undefined) {
    const variables = parseEnv(readText(options.envFile, 'The file of variables'));
    return { source: options.envFile, isLocal: false, variables: { ...env, ...variables } };
  }
  if (env['AZURE_TENANT_ID']) return { source: 'the environment', isLocal: false, variables: env };
  const system = readAddresses(options.data);
  if (system === undefined) return { source: 'the options', isLocal: false, variables: env };
  const source = `the system that runs on the folder ${options.data}`;
  return { source, isLocal: true, variables: { ...env, ...localVariables(system, options.as) } };
};

/**
 * What a command looks at: its options, over a file of variables or the environment, over the system that runs on the
 * data folder.
 *
 * @throws {UsageError} for files that cannot be read.
 */
export const readTarget = (options: TargetOptions, env: Variables): Target => {
  const { source, isLocal, variables } = chooseVariables(options, env);
  const variable = (name: string): string | undefined => variables[name]?.trim() || undefined;
  const scope = options.scope ?? variable('RECORDS_API_SCOPE');
  const apiClientId =
    options.api ??
    variable('API_CLIENT_ID') ??
    /^api:\/\/([0-9a-f-]{36})\/\.default$/i.exec(scope ?? '')?.[1];
  const caFile = options.caFile ?? variable('CA_FILE');
  return {
    source,
    isLocal,
    authorityHost: options.authority ?? variable('AZURE_AUTHORITY_HOST'),
    tenantId: options.tenant ?? variable('AZURE_TENANT_ID'),
    clientId: options.client ?? variable('AZURE_CLIENT_ID'),
    credential: credentialsOf(variable),
    apiClientId,
    scope: scope ?? (apiClientId === undefined ? undefined : `api://${apiClientId}/.default`),
    role: options.role ?? 'access_as_application_API1',
    takesV1: options.v1 ?? false,
    ca: caFile === undefined ? undefined : readText(caFile, 'The file of certificates'),
    gatewayUrl: options.gateway ?? variable('GATEWAY_URL'),
    recordsApiUrl: options.recordsApi ?? variable('RECORDS_API_URL'),
    redisUrl: variable('TOKEN_CACHE_URL') ?? variable('RATE_LIMIT_STORE_URL'),
    secretEndsAt: variable('AZURE_CLIENT_SECRET_ENDS'),
  };
};
