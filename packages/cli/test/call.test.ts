import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type LocalEntra, startLocalEntra } from '@countersign/local-entra';
import { localApplications, localTenantId } from '../src/local-system.ts';
import { type Ran, runCommand } from './run-command.ts';

let entra: LocalEntra;
let folder = '';
let server: Server;
let origin = '';
let answer: RequestListener;
let received: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = [];

beforeAll(async () => {
  entra = await startLocalEntra();
  folder = await mkdtemp(join(tmpdir(), 'call-'));
  await writeFile(join(folder, 'ca.pem'), entra.ca);
  await writeFile(join(folder, 'body.json'), '{"name":"New"}');
  server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request;
    received.push({ method, url, headers, body: await text(request) });
    answer(request, response);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.close();
  await entra.close();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  received = [];
  answer = (_, response) => response.setHeader('Content-Type', 'application/json').end('{"items":[]}');
});

const call = (method: string, url: string, ...options: string[]): Promise<Ran> =>
  runCommand(['call', method, url, ...options], {
    env: {
      AZURE_AUTHORITY_HOST: entra.origin,
      AZURE_TENANT_ID: localTenantId,
      AZURE_CLIENT_ID: localApplications.api2,
      AZURE_CLIENT_SECRET: entra.secrets['api2'] as string,
      API_CLIENT_ID: localApplications.api1,
      CA_FILE: join(folder, 'ca.pem'),
      GATEWAY_URL: origin,
    },
  });
const sentToken = (): string => received.at(-1)?.headers.authorization?.replace('Bearer ', '') ?? 'none';

describe('countersign call', () => {
  test('calls with a token, and shows the exchange without it', async () => {
    const { code, stdout, stderr } = await call('get', '/api/records?limit=1');
    expect(received).toMatchObject([{ method: 'GET', url: '/api/records?limit=1' }]);
    expect(sentToken()).toMatch(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(stdout).toContain(`> GET ${origin}/api/records?limit=1`);
    expect(stdout).toContain('> authorization: Bearer eyJ');
    expect(stdout).toContain('< 200 OK');
    expect(stdout).toContain('"items": []');
    expect(stdout).not.toContain(sentToken());
    expect([code, stderr]).toEqual([0, '']);
  });

  test.each([[], ['--json']])('an answer that repeats the token is masked, too: %j', async (...options) => {
    answer = ({ headers }, response) =>
      response.setHeader('X-Echo', String(headers.authorization)).end(JSON.stringify(headers));
    const { stdout } = await call('GET', '/', ...options);
    expect(stdout).toContain('characters, masked)');
    expect(stdout).not.toContain(sentToken());
    expect((await call('GET', '/', '--show-token', ...options)).stdout).toContain(sentToken());
  });

  test('a token that is given is masked; --no-token takes none', async () => {
    const asked = entra.requests.list().length;
    const { stdout } = await call('GET', '/', '--no-token', '-H', 'Authorization: Bearer somebody-elses');
    expect(received[0]?.headers.authorization).toBe('Bearer somebody-elses');
    expect(stdout).not.toContain('somebody-elses');
    expect(entra.requests.list()).toHaveLength(asked);
  });

  test('sends a body, of a file where @ says so, and headers', async () => {
    await call('POST', '/', '--body', `@${join(folder, 'body.json')}`, '-H', 'Idempotency-Key: k1');
    expect(received).toMatchObject([
      { method: 'POST', body: '{"name":"New"}', headers: { 'idempotency-key': 'k1' } },
    ]);
    expect(received[0]?.headers['content-type']).toBe('application/json');
  });

  test('a redirect is shown and not followed', async () => {
    answer = (_, response) => response.writeHead(302, { location: `${origin}/elsewhere` }).end();
    const { stdout } = await call('GET', '/');
    expect(stdout).toContain('< 302 Found');
    expect(received).toHaveLength(1);
  });

  test('--json holds request, claims and answer; 400 and above end with 1', async () => {
    answer = (_, response) => response.writeHead(403).end('no');
    const { code, stdout } = await call('GET', '/', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      request: { method: 'GET', url: `${origin}/` },
      claims: { azp: localApplications.api2, roles: expect.arrayContaining(['access_as_application_API1']) },
      response: { status: 403, body: 'no' },
    });
    expect(code).toBe(1);
  });

  test.each([[], ['--json']])('an answer cannot act on the terminal: %j', async (...options) => {
    const hostile = '\u001B[2J\u009B31m\u202E';
    answer = (_, response) => response.end(JSON.stringify({ [hostile]: hostile }) + (options[0] ?? ''));
    const { stdout } = await call('GET', '/', ...options);
    // oxlint-disable-next-line no-control-regex
    expect(stdout).not.toMatch(/[\u001B\u009B\u202E]/);
  });

  test('an answer without an end is cut', async () => {
    answer = (_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(100_000)));
      };
      response.on('drain', more);
      more();
    };
    const { code, stdout } = await call('GET', '/', '--no-token');
    expect(stdout.length).toBeGreaterThan(4_000_000);
    expect(stdout.length).toBeLessThan(4_500_000);
    expect(code).toBe(0);
  });

  test.each<[string, string[], number, string]>([
    ['http://192.0.2.1/', [], 64, 'would be readable on the way to 192.0.2.1: use https:'],
    ['ftp://localhost/', [], 64, 'Only http: and https:'],
    ['nowhere', [], 64, 'Not an address: nowhere'],
    ['http://user:secret@localhost/', [], 64, 'must hold no password'],
    ['/', ['--gateway', 'x'], 64, 'A path needs --gateway'],
    ['http://192.0.2.1/', ['--gateway', 'x'], 64, 'use https:'],
    ['/', ['--body', 'x'], 64, 'cannot be made'],
    ['/', ['--body', '@/nowhere'], 64, 'cannot be read (ENOENT)'],
    ['/', ['--header', 'x'], 64, '--header has to be'],
    ['/', ['--timeout', 'x'], 64, '--timeout has to be'],
    ['http://127.0.0.1:1/', ['--no-token'], 1, 'No answer from http://127.0.0.1:1'],
  ])('GET %s %j: %i and a sentence', async (url, options, code, sentence) => {
    const ran = await call('GET', url, ...options);
    expect(ran.stderr).toContain(sentence);
    expect(ran.stderr).not.toMatch(/ {4}at |secret/);
    expect(ran.code).toBe(code);
    expect(received).toEqual([]);
  });
});
