/** What is wrong before anything runs: one sentence at the end of the log that says what to mend, and an exit code. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, jest, test } from '@jest/globals';
import { localApplications, localTenantId } from '@countersign/cli';
import { Network } from 'testcontainers';
import { repository } from './composed-system.ts';
import { startEntraContainer } from './entra-container.ts';

jest.setTimeout(100_000);

interface Ended {
  code: number;
  /** The last line of standard output and of standard error. */
  output: string;
  error: string;
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

const ends = (...parameters: string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile('docker', parameters, { cwd: repository }, (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), output: lastLine(stdout), error: lastLine(stderr) });
    });
  });

const variables = (values: Record<string, string>): string[] =>
  Object.entries(values).flatMap(([name, value]) => ['--env', `${name}=${value}`]);

/** User 10001 can read what is in it. */
const temporaryFolder = async (): Promise<AsyncDisposable & { path: string }> => {
  const path = await mkdtemp(join(tmpdir(), 'countersign-'));
  await chmod(path, 0o755);
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
};

const entra = { AZURE_AUTHORITY_HOST: 'https://local-entra:8443', AZURE_TENANT_ID: localTenantId };

test('a secret file that is missing', async () => {
  const settings = variables({
    ...entra,
    ACCESS_MODE: 'anonymous',
    AZURE_CLIENT_ID: localApplications.api2,
    AZURE_CLIENT_SECRET_FILE: '/run/secrets/client-secret',
    RECORDS_API_URL: 'http://records-api:8081',
    RECORDS_API_SCOPE: `api://${localApplications.api1}/.default`,
  });
  const { code, output } = await ends('run', '--rm', ...settings, 'countersign/caller-api');
  expect(code).toBe(1);
  expect(JSON.parse(output)).toMatchObject({
    level: 'fatal',
    msg: expect.stringContaining('AZURE_CLIENT_SECRET_FILE names the file /run/secrets/client-secret'),
  });
});

test.each(['dist/migrate.js', 'dist/main.js'])('a database that cannot be reached: %s', async (main) => {
  const settings = variables({
    ...entra,
    API_CLIENT_ID: localApplications.api1,
    DATABASE_URL: 'postgres://records@127.0.0.1:1/records',
    DATABASE_PASSWORD_FILE: '/etc/hostname',
    DATABASE_TLS: 'off',
  });
  const { code, output } = await ends('run', '--rm', ...settings, 'countersign/records-api', 'node', main);
  expect(code).toBe(1);
  expect(JSON.parse(output)).toMatchObject({
    level: 'fatal',
    msg: expect.stringMatching(/database cannot be used \(.*ECONNREFUSED.*check DATABASE_URL/),
  });
});

test('a tenant id that is none', async () => {
  const settings = variables({
    ...entra,
    AZURE_TENANT_ID: 'mine',
    APIS: `records-api=${localApplications.api1}`,
  });
  const { code, output } = await ends('run', '--rm', ...settings, 'countersign/gateway');
  expect(code).toBe(1);
  expect(JSON.parse(output)).toMatchObject({
    msg: expect.stringContaining('AZURE_TENANT_ID must be a GUID'),
  });
});

test('a tenant that there is not', async () => {
  await using network = await new Network().start();
  await using tenant = await startEntraContainer('local-entra', network);
  await using folder = await temporaryFolder();
  await writeFile(join(folder.path, 'ca.pem'), tenant.ca, { mode: 0o644 });
  const settings = variables({
    ...entra,
    AZURE_TENANT_ID: '11111111-1111-4111-8111-111111111111',
    API_CLIENT_ID: localApplications.api1,
    CA_FILE: '/ca/ca.pem',
    DATA_FOLDER: '/tmp/records',
    PORT: '8081',
    HEALTHCHECK_URL: 'http://127.0.0.1:8081/readyz',
  });
  const { code, output } = await ends(
    ...['run', '--rm', '--network', network.getName(), '--volume', `${folder.path}:/ca:ro`, ...settings],
    ...['countersign/records-api', 'sh', '-c', 'node dist/migrate.js && exec node dist/main.js'],
  );
  expect(code).toBe(1);
  expect(JSON.parse(output)).toMatchObject({
    level: 'fatal',
    msg: expect.stringMatching(/answered 40[04], .* no such tenant: check AZURE_TENANT_ID/),
  });
});

test('a port that is taken', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await using folder = await temporaryFolder();
  const envFile = join(folder.path, '.env');
  await writeFile(envFile, `GATEWAY_PORT=${port}\n`);
  const compose = ['compose', '--project-name', `countersign-test-${randomUUID().slice(0, 8)}`];
  const { code, error } = await ends(
    ...compose,
    '--env-file',
    envFile,
    'up',
    '--no-deps',
    '--wait',
    'gateway',
  );
  await ends(...compose, 'down', '--volumes');
  server.close();
  expect(code).toBe(1);
  expect(error).toMatch(new RegExp(`127\\.0\\.0\\.1:${port}.*(?:already in use|already allocated)`));
});

test('.env that cannot be read, or lacks what compose/entra.yaml needs', async () => {
  await using folder = await temporaryFolder();
  const config = (file: string): Promise<Ended> =>
    ends(
      ...[
        'compose',
        '--env-file',
        file,
        '-f',
        'docker-compose.yml',
        '-f',
        'compose/entra.yaml',
        'config',
        '--quiet',
      ],
    );
  expect(await config(join(folder.path, 'missing'))).toMatchObject({
    code: 1,
    error: expect.stringContaining('missing'),
  });
  await writeFile(join(folder.path, 'broken'), 'AZURE_TENANT_ID="no end\n');
  expect(await config(join(folder.path, 'broken'))).toMatchObject({
    code: 1,
    error: expect.stringContaining('broken'),
  });
  await writeFile(join(folder.path, 'half'), `AZURE_TENANT_ID=${localTenantId}\n`);
  expect(await config(join(folder.path, 'half'))).toMatchObject({
    code: 1,
    error: expect.stringContaining('see .env.example'),
  });
});
