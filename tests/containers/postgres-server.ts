import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { Client } from 'pg';
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers';
import { freePort } from './free-port.ts';

export interface PostgresServer {
  /** Settings of records-api for a new, empty database. */
  newDatabase(): Promise<Record<'DATABASE_URL' | 'DATABASE_PASSWORD_FILE' | 'DATABASE_CA_FILE', string>>;
  port: number;
  password: string;
  /** PEM of the server's certificate, for localhost. */
  ca: string;
  /** Stops it at once and starts it again. Resolves when it answers. */
  restart: () => Promise<void>;
  /** Connections stay, and nothing answers on them until it resumes. */
  pause: () => Promise<void>;
  resume: () => Promise<void>;
  /** Runs a line of shell in its container. Resolves to what it prints. */
  run: (line: string) => Promise<string>;
  [Symbol.asyncDispose]: () => Promise<void>;
}

const createCertificate = async (): Promise<{ key: string; certificate: string }> => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=localhost',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }])],
  });
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
    certificate: made.toString('pem'),
  };
};

/** PostgreSQL 17 in a container, with TLS; what comes without it is refused. */
export const startPostgres = async (): Promise<PostgresServer> => {
  const { key, certificate } = await createCertificate();
  const password = randomBytes(16).toString('hex');
  const folder = await mkdtemp(join(tmpdir(), 'countersign-'));
  const [passwordFile, caFile] = [join(folder, 'password'), join(folder, 'ca.pem')];
  await writeFile(passwordFile, `${password}\n`);
  await writeFile(caFile, certificate);
  const port = await freePort();
  const container = await new GenericContainer('postgres:17-trixie')
    .withEnvironment({ POSTGRES_PASSWORD: password })
    .withExposedPorts({ container: 5432, host: port })
    .withCopyContentToContainer([
      { content: key, target: '/tls/key.pem', mode: 0o600 },
      { content: certificate, target: '/tls/certificate.pem' },
      {
        content: 'local all all trust\nhostssl all all all scram-sha-256\n',
        target: '/tls/pg_hba.conf',
        mode: 0o644,
      },
    ])
    .withEntrypoint(['sh', '-c'])
    .withCommand([
      'chown -R postgres /tls && exec docker-entrypoint.sh postgres -c ssl=on -c ssl_key_file=/tls/key.pem ' +
        '-c ssl_cert_file=/tls/certificate.pem -c hba_file=/tls/pg_hba.conf -c listen_addresses=0.0.0.0',
    ])
    // It starts twice: to set itself up, and then for everybody.
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  const connect = async (): Promise<Client> => {
    for (let attempt = 0; ; attempt += 1) {
      const client = new Client({
        host: 'localhost',
        port,
        user: 'postgres',
        password,
        ssl: { ca: certificate },
      });
      client.on('error', () => undefined);
      try {
        await client.connect();
        return client;
      } catch (error) {
        await client.end().catch(() => undefined);
        if (attempt === 600) throw error;
        await new Promise((resolve) => {
          setTimeout(resolve, 50);
        });
      }
    }
  };
  await (await connect()).end();
  let databases = 0;
  const { container: runtime } = await getContainerRuntimeClient();
  const running = runtime.getById(container.getId());
  return {
    port,
    password,
    ca: certificate,
    async newDatabase() {
      const name = `records_${(databases += 1)}`;
      const client = await connect();
      await client.query(`CREATE DATABASE ${name}`);
      await client.end();
      return {
        DATABASE_URL: `postgres://postgres@localhost:${port}/${name}`,
        DATABASE_PASSWORD_FILE: passwordFile,
        DATABASE_CA_FILE: caFile,
      };
    },
    async restart() {
      await container.restart({ timeout: 0 });
      await (await connect()).end();
    },
    pause: () => running.pause(),
    resume: () => running.unpause(),
    run: async (line) => (await container.exec(['sh', '-c', line])).stdout,
    [Symbol.asyncDispose]: async () => {
      await container.stop();
      await rm(folder, { recursive: true });
    },
  };
};
