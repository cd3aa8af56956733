import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type AcquiredToken,
  createEntraNetwork,
  createTokenSource,
  type EntraNetwork,
} from '@countersign/shared-auth';
import { localApplications, localTenantId, recordsApiScope } from './local-system.ts';
import { readAddresses, type Target } from './target.ts';
import { CommandError, UsageError } from './command-error.ts';

export type LocalApplication = keyof typeof localApplications;

export const localApplicationNames = Object.keys(localApplications) as LocalApplication[];

/**
 * `countersign token api2`: an access token for records-api, taken by a seeded application from the local-entra that
 * `npm start` runs.
 *
 * @throws {CommandError} when nothing runs on the data folder.
 */
export const takeToken = async (application: LocalApplication, dataFolder: string): Promise<string> => {
  const addresses = readAddresses(dataFolder);
  if (addresses === undefined) {
    throw new CommandError(`Nothing runs on the folder ${dataFolder}. Start the system first: npm start`);
  }
  const { entraOrigin, caFile, secretsFolder } = addresses;
  const source = createTokenSource({
    authorityHost: entraOrigin,
    tenantId: localTenantId,
    clientId: localApplications[application],
    credential: { clientSecretFile: join(secretsFolder, application) },
    network: createEntraNetwork({ ca: await readFile(caFile, 'utf8') }),
  });
  const { accessToken } = await source.getToken({ scope: recordsApiScope });
  return accessToken;
};

/**
 * A token for the API, by the credentials of the application that calls it.
 *
 * @throws {UsageError} naming what nobody said.
 */
export const takeTokenFor = async (target: Target, network?: EntraNetwork): Promise<AcquiredToken> => {
  const { authorityHost, tenantId, clientId, credential, scope, ca } = target;
  const required = {
    AZURE_AUTHORITY_HOST: authorityHost,
    AZURE_TENANT_ID: tenantId,
    AZURE_CLIENT_ID: clientId,
    'API_CLIENT_ID or RECORDS_API_SCOPE': scope,
    'AZURE_CLIENT_SECRET, AZURE_CLIENT_SECRET_FILE, AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE':
      credential.length === 0 ? undefined : credential,
  };
  const missing = Object.entries(required).flatMap(([name, value]) => (value === undefined ? [name] : []));
  if (missing.length > 0) {
    throw new UsageError(
      `Not set: ${missing.join('; ')}. Set them, or start a local system first: npm start`,
    );
  }
  const own = network === undefined ? createEntraNetwork(ca === undefined ? {} : { ca }) : undefined;
  try {
    const source = createTokenSource({
      authorityHost: authorityHost as string,
      tenantId: tenantId as string,
      clientId: clientId as string,
      credential,
      network: network ?? (own as EntraNetwork),
    });
    return await source.getToken({ scope: scope as string });
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(`The settings cannot be used: ${error.message}.`);
    throw error;
  } finally {
    own?.close();
  }
};

/** What a token says, unverified. */
export const claimsOf = (token: string): Record<string, unknown> => {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as Record<
      string,
      unknown
    >;
  } catch {
    return {};
  }
};

/** Enough to tell tokens apart, too little to use one. */
export const masked = (token: string): string => `${token.slice(0, 6)}…(${token.length} characters, masked)`;
