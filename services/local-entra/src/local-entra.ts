import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createLogger, listen, type Logger, type Readiness } from '@countersign/service-kit';
import { createApp } from './app.ts';
import { createFetchJson } from './assertions/fetch-json.ts';
import { createIssuerKeys } from './assertions/issuer-keys.ts';
import { ownIssuerKeys } from './assertions/own-issuer-keys.ts';
import { makePrivateFolder, writeFileAtomically } from './certificates/private-file.ts';
import { createServerIdentity } from './certificates/server-identity.ts';
import { createSigningKeys } from './certificates/signing-keys.ts';
import type { Clock } from './clock.ts';
import { createDirectory } from './directory/directory.ts';
import type { EntraContext } from './entra-context.ts';
import { publicOrigin } from './public-origin.ts';
import { loadSecrets } from './secrets.ts';
import { plantSeed } from './seed/plant-seed.ts';
import { readSeed } from './seed/read-seed.ts';
import type { Seed } from './seed/seed-schema.ts';
import { createPropagation } from './weather/propagation.ts';
import { packagedSeed } from './seed/packaged-seed.ts';

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
  /** PEM certificates to trust, on top of Node's, when the keys of other issuers are fetched. */
  federationCa?: readonly string[] | undefined;
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

/** For the documents of other issuers. */
const issuerLimits = { timeoutMs: 5000, maxBytes: 256 * 1024 };

/** A local Entra that does not listen yet. */
export interface PreparedLocalEntra {
  server: Server;
  /** The public origin; without one given, known once the server listens. */
  origin: () => string;
  /** PEM certificate of the authority that clients have to trust. */
  ca: string;
  /** Generated secrets by the applications' names in the seed. */
  secrets: Readonly<Record<string, string>>;
}

/** A local Entra that answers. */
export interface LocalEntra extends Omit<PreparedLocalEntra, 'origin' | 'server'> {
  /** Such as `https://localhost:8443`. */
  origin: string;
  /** Stops listening and ends every connection. */
  close: () => Promise<void>;
}

/**
 * Makes keys, certificates, secrets and the directory, and the server that answers for them.
 *
 * @throws {ConfigError} for a seed, an origin or a folder that cannot be used.
 */
export const createLocalEntra = async (options: LocalEntraOptions = {}): Promise<PreparedLocalEntra> => {
  const { dataFolder, clock = Date.now } = options;
  const logger = options.logger ?? createLogger({ name: 'local-entra', version: '0', level: 'silent' });
  const seed = readSeed(options.seed ?? (await packagedSeed()), options.seedName);
  const givenOrigin = options.origin === undefined ? undefined : publicOrigin(options.origin);
  if (dataFolder !== undefined) await makePrivateFolder(dataFolder);

  const host = givenOrigin === undefined ? 'localhost' : new URL(givenOrigin).hostname;
  const [identity, signingKeys] = await Promise.all([
    // By the system's clock always: TLS clients read that one.
    createServerIdentity({ folder: dataFolder, host, clock: Date.now }),
    createSigningKeys({ folder: dataFolder, clock }),
  ]);
  if (options.caFile !== undefined) await writeFileAtomically(options.caFile, identity.ca, 0o644);

  const withSecret = seed.tenants.flatMap(({ applications }) =>
    applications.filter(({ generatedSecret }) => generatedSecret).map(({ name }) => name),
  );
  const secretsFolder = options.secretsFolder ?? (dataFolder && join(dataFolder, 'secrets'));
  const secrets = await loadSecrets(withSecret, secretsFolder);
  const directory = createDirectory();
  plantSeed(directory, seed, { clock, secretFor: (name) => secrets[name] ?? '' });

  const server = createServer({ key: identity.key, cert: identity.certificate, minVersion: 'TLSv1.2' });
  const origin = (): string =>
    givenOrigin ?? `https://localhost:${(server.address() as AddressInfo | null)?.port ?? 0}`;
  const issuerKeys = createIssuerKeys({
    fetchJson: createFetchJson({ ...issuerLimits, extraCa: options.federationCa }),
    clock,
    ownKeys: ownIssuerKeys({ origin, directory, signingKeys }),
  });
  const entra: EntraContext = {
    origin,
    directory,
    signingKeys,
    issuerKeys,
    clock,
    propagation: createPropagation(clock),
    saveDirectory: () => Promise.resolve(),
  };
  const answer = createApp(entra, logger, options.readiness ?? { accepting: true }).callback();
  server.on('request', (request, response) => void answer(request, response));

  logger.warn('this is local-entra, an emulator for development and tests: it is not Microsoft Entra ID');
  return { server, origin, ca: identity.ca, secrets };
};

/** Starts a local Entra in this process, on a free port unless one is given. */
export const startLocalEntra = async (options: StartLocalEntraOptions = {}): Promise<LocalEntra> => {
  const { server, origin, ca, secrets } = await createLocalEntra(options);
  await listen(server, options.host ?? '127.0.0.1', options.port ?? 0);
  const boundOrigin = origin();
  return {
    origin: boundOrigin,
    ca,
    secrets,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
};
