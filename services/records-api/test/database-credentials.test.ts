import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLogger } from '@countersign/service-kit';
import {
  callerClientId,
  clientSecret,
  startTestIssuer,
  tenantId,
  type TestIssuer,
} from '../../../packages/shared-auth/test/test-issuer.ts';
import { configSchema, migrateConfigSchema, parseRecordsConfig } from '../src/config.ts';
import { createRecordStore } from '../src/store/create-record-store.ts';
import { openDatabase } from '../src/store/open-database.ts';

/** A server that asks for the password in clear text, and refuses it (PostgreSQL's protocol, version 3). */
const passwords: string[] = [];
let connections = 0;
const askForPassword = (socket: Socket): void => {
  connections += 1;
  const refusal = Buffer.from('SFATAL\0C28P01\0Mrefused\0\0');
  const head = Buffer.alloc(5, 'E');
  head.writeInt32BE(refusal.length + 4, 1);
  socket.once('data', () => {
    socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]));
    socket.once('data', (message: Buffer) => {
      passwords.push(message.toString('utf8', 5, message.length - 1));
      socket.end(Buffer.concat([head, refusal]));
    });
  });
  socket.on('error', () => undefined);
};

const server = createServer(askForPassword);
const folder = mkdtempSync(join(tmpdir(), 'countersign-'));
let issuer: TestIssuer;
let settings: Record<string, string>;
beforeAll(async () => {
  issuer = await startTestIssuer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  writeFileSync(join(folder, 'ca.pem'), issuer.ca);
  settings = {
    DATABASE_URL: `postgres://records@127.0.0.1:${port}/records`,
    DATABASE_TLS: 'off',
    CA_FILE: join(folder, 'ca.pem'),
  };
});
afterAll(async () => {
  server.close();
  await issuer.close();
});

const logger = createLogger({ name: 'records-api', version: '0', destination: { write: () => undefined } });

const connectTwice = async (
  more: Record<string, string>,
  betweenThem = (): void => undefined,
): Promise<void> => {
  passwords.length = 0;
  const env = {
    AZURE_AUTHORITY_HOST: issuer.origin,
    AZURE_TENANT_ID: tenantId,
    AZURE_CLIENT_ID: callerClientId,
    AZURE_CLIENT_SECRET: clientSecret,
  };
  const config = parseRecordsConfig(migrateConfigSchema, { ...settings, ...more });
  const store = createRecordStore(openDatabase(config, env, logger));
  await expect(store.check()).rejects.toMatchObject({ status: 503, code: 'storage_unavailable' });
  betweenThem();
  await expect(store.check()).rejects.toMatchObject({ status: 503 });
  await store.close();
};

test('a password file is read for each connection', async () => {
  const file = join(folder, 'password');
  writeFileSync(file, 'first\n');
  await connectTwice({ DATABASE_PASSWORD_FILE: file }, () => writeFileSync(file, 'second'));
  expect(passwords).toEqual(['first', 'second']);
});

test('a token of Entra takes the place of a password, from memory while it is good', async () => {
  const scope = 'https://ossrdbms-aad.database.windows.net/.default';
  await connectTwice({ DATABASE_TOKEN_SCOPE: scope });
  expect(passwords).toEqual([expect.stringMatching(/^token-/), passwords[0]]);
  expect(issuer.tokenRequests.map(({ form }) => form.get('scope'))).toEqual([expect.stringContaining(scope)]);
});

test('without a token: the refusal of Entra, as a 503, and no connection that is left behind', async () => {
  connections = 0;
  issuer.tokenReply = () => ({ status: 503, body: '{}' });
  const config = parseRecordsConfig(migrateConfigSchema, {
    ...settings,
    DATABASE_TOKEN_SCOPE: 'api://x/.default',
  });
  const env = {
    AZURE_AUTHORITY_HOST: issuer.origin,
    AZURE_TENANT_ID: tenantId,
    AZURE_CLIENT_ID: callerClientId,
  };
  const store = createRecordStore(openDatabase(config, { ...env, AZURE_CLIENT_SECRET: 'x' }, logger));
  await expect(store.check()).rejects.toMatchObject({ status: 503, code: 'identity_unavailable' });
  expect(connections).toBe(0);
  await store.close();
  expect(() => openDatabase(config, env, logger)).toThrow(
    /DATABASE_TOKEN_SCOPE needs an application: not set/,
  );
});

test.each<[string, Record<string, string>, RegExp]>([
  ['no database', {}, /either DATA_FOLDER or DATABASE_URL has to be set/],
  [
    'two databases',
    { DATA_FOLDER: 'x', DATABASE_URL: 'postgres://u@h/d' },
    /either DATA_FOLDER or DATABASE_URL/,
  ],
  [
    'no credential',
    { DATABASE_URL: 'postgres://u@h/d' },
    /either DATABASE_PASSWORD_FILE or DATABASE_TOKEN_SCOPE/,
  ],
  ['a password in the address', { DATABASE_URL: 'postgres://u:p@h/d' }, /DATABASE_URL must be postgres:/],
  ['no user', { DATABASE_URL: 'postgres://h/d' }, /DATABASE_URL must be postgres:/],
  [
    'a parameter that turns TLS off',
    { DATABASE_URL: 'postgres://u@h/d?sslmode=disable' },
    /without a password and/,
  ],
  ['another database', { DATABASE_URL: 'mysql://u@h/d' }, /DATABASE_URL must be postgres:/],
  ['TLS without checks', { DATABASE_TLS: 'allow', DATA_FOLDER: 'x' }, /DATABASE_TLS/],
  [
    'a pool that imports can use up',
    { DATABASE_POOL_SIZE: '2', DATA_FOLDER: 'x' },
    /DATABASE_POOL_SIZE must be 3 to 1000/,
  ],
])('%s is a configuration error', (_, env, message) => {
  expect(() => parseRecordsConfig(migrateConfigSchema, env)).toThrow(message);
});

test('the service asks for all that the migrations do', () => {
  expect(Object.keys(configSchema.shape)).toEqual(
    expect.arrayContaining(Object.keys(migrateConfigSchema.shape)),
  );
});
