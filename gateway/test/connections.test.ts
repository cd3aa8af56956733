import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { afterEach, expect, test } from '@jest/globals';
import { makeCertificate } from './certificate.ts';
import { runGateway } from './gateway-process.ts';
import { startGateway, startUpstream, stopAll } from './start-gateway.ts';

afterEach(stopAll);

const someTable = {
  upstreams: { u: { addresses: ['http://127.0.0.1:1'] } },
  routes: [{ path: '/a', upstream: 'u', access: 'public' }],
};

const tableFor = async () => ({
  ...someTable,
  upstreams: { u: { addresses: [await startUpstream((_request, response) => response.end('ok'))] } },
});

const get = 'GET /a HTTP/1.1\r\nHost: x\r\n\r\n';

/** A connection, and all that it has brought when it is closed. */
const watch = (socket: Socket) => {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  return { socket, closed: new Promise<string>((resolve) => socket.once('close', () => resolve(text))) };
};

const open = (url: string) => watch(connect(Number(new URL(url).port), '127.0.0.1'));

test('MAX_CONNECTIONS: one more is closed unheard; one that ends makes room', async () => {
  await using gateway = runGateway(await tableFor(), { MAX_CONNECTIONS: '2' });
  const url = await gateway.url();
  const answered = async (connection: ReturnType<typeof open>): Promise<void> => {
    connection.socket.write(get);
    await once(connection.socket, 'data');
  };
  const [first, second] = [open(url), open(url)];
  await answered(first);
  await answered(second);
  const third = open(url);
  third.socket.write(get);
  expect(await third.closed).toBe('');
  await answered(first);

  second.socket.end();
  await second.closed;
  const fourth = open(url);
  await answered(fourth);
  for (const { socket } of [first, fourth]) socket.destroy();
});

test('KEEP_ALIVE_MS: so long, and not CLIENT_IDLE_MS, an idle connection is kept', async () => {
  const keepAliveMs = 1_000;
  await using gateway = runGateway(await tableFor(), {
    KEEP_ALIVE_MS: String(keepAliveMs),
    CLIENT_IDLE_MS: '100',
  });
  const { socket, closed } = open(await gateway.url());
  const startMs = performance.now();
  socket.write(get);
  await closed;
  const keptMs = performance.now() - startMs;
  expect(keptMs).toBeGreaterThanOrEqual(keepAliveMs);
  // Node adds a second, and keeps one for five, and that second, when nobody says how long.
  expect(keptMs).toBeLessThan(5_500);
});

test('a head that never ends, byte by byte, is cut off with 408 after 10 s, over TCP and over TLS', async () => {
  const settings = { table: await tableFor(), clientIdleMs: 60_000 };
  const [plain, secure] = [
    await startGateway(settings),
    await startGateway({ ...settings, tls: await makeCertificate() }),
  ];
  const slow = async ({ socket, closed }: ReturnType<typeof open>, ready: string) => {
    await once(socket, ready);
    const startMs = performance.now();
    socket.write('GET /a HTTP/1.1\r\nHost: x\r\nX: ');
    const drip = setInterval(() => socket.write('x'), 250);
    const text = await closed;
    clearInterval(drip);
    return { text, afterMs: performance.now() - startMs };
  };
  const port = Number(new URL(secure.url).port);
  const outcomes = await Promise.all([
    slow(open(plain.url), 'connect'),
    slow(watch(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })), 'secureConnect'),
  ]);
  for (const { text, afterMs } of outcomes) {
    expect(text).toMatch(/^HTTP\/1\.1 408 [^]*"request_timeout"/);
    expect(afterMs).toBeGreaterThanOrEqual(9_900);
    // It is looked for every five seconds; Node's own time is a minute.
    expect(afterMs).toBeLessThan(40_000);
  }
}, 60_000);

test('TLS 1.2 is the least, even where Node is told to take less', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-'));
  const { certificate, key } = await makeCertificate();
  const files = { TLS_CERTIFICATE_FILE: join(folder, 'tls.crt'), TLS_KEY_FILE: join(folder, 'tls.key') };
  writeFileSync(files.TLS_CERTIFICATE_FILE, certificate);
  writeFileSync(files.TLS_KEY_FILE, key);
  const anyCipher = 'DEFAULT@SECLEVEL=0';
  await using gateway = runGateway(someTable, {
    ...files,
    NODE_OPTIONS: `--tls-min-v1.0 --tls-cipher-list=${anyCipher}`,
  });
  const port = Number(new URL(await gateway.url()).port);
  const handshake = async (version: ConnectionOptions['maxVersion']): Promise<string | null> => {
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ciphers: anyCipher,
      minVersion: version,
      maxVersion: version,
    });
    try {
      await once(socket, 'secureConnect');
      return socket.getProtocol();
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? null;
    } finally {
      socket.destroy();
    }
  };
  for (const version of ['TLSv1', 'TLSv1.1'] as const)
    expect(await handshake(version)).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) expect(await handshake(version)).toBe(version);
  rmSync(folder, { recursive: true });
});
