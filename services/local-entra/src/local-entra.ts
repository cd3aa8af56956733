import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { createLogger, listen, type Logger, type Readiness } from '@countersign/service-kit';
import { createApp } from './app.ts';
import { createFetchJson } from './assertions/fetch-json.ts';
import { createIssuerKeys } from './assertions/issuer-keys.ts';
import { ownIssuerKeys } from './assertions/own-issuer-keys.ts';
import { makePrivateFolder, writeFileAtomically } from './certificates/private-file.ts';
import { createServerIdentity } from './certificates/server-identity.ts';
import { createSigningKeys } from './certificates/signing-keys.ts';
import type { Clock } from './clock.ts';
import type { EntraContext } from './entra-context.ts';
import { lockFiles, type Unlock } from './lock-file.ts';
import { createManagedIdentityApp } from './managed-identity/managed-identity-app.ts';
import { prepareDirectory } from './prepare-directory.ts';
import { publicOrigin } from './public-origin.ts';
import type { Seed } from './seed/seed-schema.ts';
import { closeServer, openSidePort, type SidePort } from './side-servers.ts';
import { createAdminApp } from './weather/admin-app.ts';
import { createControls, type Controls } from './weather/controls.ts';
import { createFaults } from './weather/faults.ts';
import { createPropagation } from './weather/propagation.ts';
import { createRequestLog } from './weather/request-log.ts';

export interface LocalEntraOptions {
  /** Tenants and applications, as an object or as YAML or JSON text. Default: the packaged seed. */
  seed?: Seed | string | undefined;
  /** How messages name the seed, such as its file's path. */
  seedName?: string | undefined;
  /** The public origin, where every issuer begins. Default `https://localhost:<bound port>`. */
  origin?: string | undefined;
  /** Private folder for keys and certificates. Default: they live in memory. */
  dataFolder?: string | undefined;
  /** Where the certificate of the authority is published. Default `<dataFolder>/ca.pem`. */
  caFile?: string | undefined;
  /** Where generated secrets are kept, one file each. Default `<dataFolder>/secrets`. */
  secretsFolder?: string | undefined;
  /** Where the directory is kept. It wins over the seed where it exists. Default: the directory lives in memory. */
  stateFile?: string | undefined;
  /** PEM certificates to trust, on top of Node's, when the keys of other issuers are fetched. */
  federationCa?: readonly string[] | undefined;
  /** Port of the weather and the forge. Default: closed. */
  admin?: SidePort | undefined;
  /** Port of the managed identity endpoints. Default: closed. */
  managedIdentity?: (SidePort & { identityHeader?: string | undefined }) | undefined;
  /**
   * Further host names by which the ports beside the main one may be called. Loopback, the host that they listen on
   * and Azure's metadata address always may.
   */
  allowedHosts?: readonly string[] | undefined;
  /** Default the system's clock. */
  clock?: Clock | undefined;
  /** Default: nothing is logged. */
  logger?: Logger | undefined;
  /** Flipped when the process stops taking work. */
  readiness?: Readiness | undefined;
}

export interface StartLocalEntraOptions extends LocalEntraOptions {
  /** Default 127.0.0.1. */
  host?: string | undefined;
  /** Default 0: the system chooses. */
  port?: number | undefined;
}

/** A local Entra whose main port does not listen yet. Its other members are those of {@link LocalEntra}. */
export interface PreparedLocalEntra extends Omit<LocalEntra, 'close' | 'origin' | 'port'> {
  server: Server;
  /** The public origin; without one given, known once the server listens. */
  origin: () => string;
  /** Closes the ports beside the main one, and lets others have the folder and the state file. */
  closeSidePorts: () => Promise<void>;
}

/** A local Entra that answers. */
export interface LocalEntra extends Controls {
  /** Such as `https://localhost:8443`. */
  origin: string;
  /** The port that it listens on, which need not be that of the origin. */
  port: number;
  /** PEM certificate of the authority that clients have to trust. */
  ca: string;
  /** Generated secrets by the applications' names in the seed. */
  secrets: Readonly<Record<string, string>>;
  /** Address of the admin port, where it is open. */
  adminAddress: string | undefined;
  /** Address of the managed identity endpoints and the value of their header, where they are open. */
  managedIdentity: { address: string; identityHeader: string } | undefined;
  /** Stops listening and ends every connection. */
  close: () => Promise<void>;
}

/** For the documents of other issuers. */
const issuerLimits = { timeoutMs: 5000, maxBytes: 256 * 1024 };

/**
 * Makes keys, certificates, secrets and the directory, opens the ports beside the main one, and makes the main server.
 *
 * @throws {ConfigError} for a seed, an origin, a file or a port that cannot be used.
 */
export const createLocalEntra = async (options: LocalEntraOptions = {}): Promise<PreparedLocalEntra> => {
  const { dataFolder, stateFile } = options;
  if (dataFolder !== undefined) await makePrivateFolder(dataFolder);
  const unlock = await lockFiles([
    ...(dataFolder === undefined
      ? []
      : [{ path: join(dataFolder, 'local-entra.lock'), what: `the folder ${dataFolder}` }]),
    ...(stateFile === undefined ? [] : [{ path: `${stateFile}.lock`, what: `the file ${stateFile}` }]),
  ]);
  try {
    return await prepareLocalEntra(options, unlock);
  } catch (error) {
    await unlock();
    throw error;
  }
};

const prepareLocalEntra = async (options: LocalEntraOptions, unlock: Unlock): Promise<PreparedLocalEntra> => {
  const { dataFolder } = options;
  const logger = options.logger ?? createLogger({ name: 'local-entra', version: '0', level: 'silent' });
  const readiness = options.readiness ?? { accepting: true };
  const givenOrigin = options.origin === undefined ? undefined : publicOrigin(options.origin);
  const baseClock = options.clock ?? Date.now;
  const clockShift = { ms: 0 };
  const clock: Clock = () => baseClock() + clockShift.ms;

  const host = givenOrigin === undefined ? 'localhost' : new URL(givenOrigin).hostname;
  const { directory, secrets, save } = await prepareDirectory({ ...options, clock });
  const [identity, signingKeys] = await Promise.all([
    // By the system's clock always: TLS clients read that one.
    createServerIdentity({ folder: dataFolder, host, clock: Date.now }),
    createSigningKeys({ folder: dataFolder, clock }),
  ]);
  if (options.caFile !== undefined) await writeFileAtomically(options.caFile, identity.ca, 0o644);

  const server = createServer({ key: identity.key, cert: identity.certificate, minVersion: 'TLSv1.2' });
  let publicOriginNow = givenOrigin;
  server.once('listening', () => {
    publicOriginNow ??= `https://localhost:${(server.address() as AddressInfo).port}`;
  });
  const origin = (): string => publicOriginNow ?? 'https://localhost';
  const entra: EntraContext = {
    origin,
    directory,
    signingKeys,
    issuerKeys: createIssuerKeys({
      fetchJson: createFetchJson({ ...issuerLimits, extraCa: options.federationCa }),
      clock,
      ownKeys: ownIssuerKeys({ origin, directory, signingKeys }),
    }),
    clock,
    propagation: createPropagation(clock),
    saveDirectory: save,
  };
  const requests = createRequestLog({ directory, clock });
  const controls = createControls({ entra, faults: createFaults(), requests, clockShift });
  const answer = createApp({ entra, controls, logger, readiness }).callback();
  server.on('request', (request, response) => void answer(request, response));

  logger.warn('this is local-entra, an emulator for development and tests: it is not Microsoft Entra ID');
  const hostsOf = (port: SidePort | undefined): string[] => [
    ...(options.allowedHosts ?? []),
    ...(port?.host === undefined ? [] : [port.host]),
  ];
  const admin =
    options.admin &&
    (await openSidePort(
      'admin',
      options.admin,
      createAdminApp(entra, controls, logger, hostsOf(options.admin)).callback(),
      logger,
    ));
  const identityHeader = options.managedIdentity?.identityHeader ?? randomBytes(24).toString('base64url');
  const identityApp = createManagedIdentityApp({
    entra,
    controls,
    identityHeader,
    allowedHosts: hostsOf(options.managedIdentity),
    logger,
    readiness,
  });
  const managedIdentity =
    options.managedIdentity &&
    (await openSidePort('managed identity', options.managedIdentity, identityApp.callback(), logger));

  return {
    ...controls,
    server,
    origin,
    ca: identity.ca,
    secrets,
    adminAddress: admin?.address,
    managedIdentity: managedIdentity && { address: managedIdentity.address, identityHeader },
    closeSidePorts: async () => {
      if (admin) await closeServer(admin.server);
      if (managedIdentity) await closeServer(managedIdentity.server);
      await unlock();
    },
  };
};

/** Starts a local Entra in this process, on a free port unless one is given. */
export const startLocalEntra = async (options: StartLocalEntraOptions = {}): Promise<LocalEntra> => {
  const { server, origin, closeSidePorts, ...rest } = await createLocalEntra(options);
  try {
    await listen(server, options.host ?? '127.0.0.1', options.port ?? 0);
  } catch (error) {
    await closeSidePorts();
    throw error;
  }
  return {
    ...rest,
    origin: origin(),
    port: (server.address() as AddressInfo).port,
    close: async () => {
      await closeServer(server);
      await closeSidePorts();
    },
  };
};
