import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, test } from '@jest/globals';
import { makeCertificate } from './certificate.ts';
import { runGateway } from './gateway-process.ts';
import { type ScriptedServer, startScripted } from './scripted-server.ts';
import { startGateway, startUpstream, stopAll, type TestGateway, whenTrue } from './start-gateway.ts';

const sessions: ClientHttp2Session[] = [];
const upstreams: ScriptedServer[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  await stopAll();
  for (const upstream of upstreams.splice(0)) await upstream.stop();
});

const startFor = async (settings: object) => {
  const origin = await startUpstream((incoming, outgoing) => {
    outgoing.writeHead(200, {
      'content-type': 'application/json',
      'keep-alive': 'timeout=9',
      'set-cookie': ['a=1', 'b=2'],
    });
    incoming.on('data', (chunk: Buffer) => outgoing.write(chunk));
    incoming.on('end', () =>
      outgoing.end(incoming.method === 'POST' ? '' : JSON.stringify(incoming.headers)),
    );
  });
  return startGateway({
    ...settings,
    table: {
      upstreams: { u: { addresses: [origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public' }],
    },
  });
};

const ask = async (session: ClientHttp2Session, headers: Record<string, string>, body = '') => {
  const stream = session.request(headers, { endStream: body === '' });
  if (body !== '') stream.end(body);
  const [head] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return { head, text };
};

const open = (url: string, options = {}): ClientHttp2Session => {
  const session = connect(url, options);
  sessions.push(session);
  return session;
};

describe('HTTP/2', () => {
  test('without TLS: requests go on over HTTP/1.1, with the authority as their host', async () => {
    const { url, records } = await startFor({ protocol: 'h2c' });
    const session = open(url);
    const { head, text } = await ask(session, {
      ':path': '/a/b?c',
      ':authority': 'gateway.example',
      'x-forwarded-for': '6.6.6.6',
    });
    expect(head).toMatchObject({ ':status': 200, 'set-cookie': ['a=1', 'b=2'] });
    expect(head).not.toHaveProperty('keep-alive');
    expect(JSON.parse(text)).toMatchObject({
      'x-forwarded-host': 'gateway.example',
      'x-forwarded-for': '127.0.0.1',
    });
    expect(JSON.parse(text)).toHaveProperty('via', '2.0 countersign');
    expect(records.at(-1)).toMatchObject({ 'http.route': '/a', 'http.response.status_code': 200 });
  });

  test.each([
    ['the same as', 'Gateway.example', 200],
    ['another than', 'evil.example', 400],
  ])('a Host that is %s the authority', async (_, host, status) => {
    const { url } = await startFor({ protocol: 'h2c' });
    const { head } = await ask(open(url), { ':path': '/a', ':authority': 'gateway.example', host });
    expect(head[':status']).toBe(status);
  });

  test('bodies, refusals and what is not found', async () => {
    const { url } = await startFor({ protocol: 'h2c' });
    const session = open(url);
    const body = 'x'.repeat(100_000);
    expect((await ask(session, { ':path': '/a', ':method': 'POST' }, body)).text).toBe(body);
    const refused = await ask(session, { ':path': '/a/../b' });
    expect(refused.head[':status']).toBe(400);
    expect(JSON.parse(refused.text)).toMatchObject({ code: 'invalid_request' });
    expect((await ask(session, { ':path': '/b' })).head[':status']).toBe(404);
  });

  const startScriptedFor = async (answer: ScriptedServer['answer']) => {
    const upstream = await startScripted(answer);
    upstreams.push(upstream);
    const gateway = await startGateway({
      protocol: 'h2c',
      table: {
        upstreams: { u: { addresses: [upstream.origin] } },
        routes: [{ path: '/a', upstream: 'u', access: 'public' }],
      },
    });
    return { gateway, session: open(gateway.url) };
  };
  const inFlight = ({ table }: TestGateway) => table.upstreams.get('u')?.state().inFlight;
  const half = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n';

  describe.each([
    ['before the head', ''],
    ['within the body', half],
  ])('%s, the upstream is freed at once, and the record says so,', (_, written) => {
    test.each([
      ['that cancels', (stream: ClientHttp2Stream) => stream.close(constants.NGHTTP2_CANCEL)],
      ['that closes its session', (_stream: unknown, session: ClientHttp2Session) => session.destroy()],
    ])('by a client %s', async (_name, leave) => {
      const asked = Promise.withResolvers<void>();
      const freed = Promise.withResolvers<void>();
      const { gateway, session } = await startScriptedFor((socket) => {
        socket.write(written);
        socket.once('close', freed.resolve);
        asked.resolve();
      });
      const stream = session.request({ ':path': '/a' });
      stream.on('error', () => undefined);
      await (written === '' ? asked.promise : once(stream, 'data'));
      leave(stream, session);
      await freed.promise;
      await whenTrue(() => inFlight(gateway) === 0 && gateway.records.length > 0);
      expect(gateway.records).toMatchObject([{ msg: 'request aborted', aborted: true }]);
    });
  });

  test.each([
    ['chunked', half],
    ['of a known length', 'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf'],
  ])('an answer %s that breaks off does not look whole', async (_, written) => {
    const { gateway, session } = await startScriptedFor((socket) => socket.end(written));
    const stream = session.request({ ':path': '/a' }).resume();
    let ended = false;
    stream.on('end', () => (ended = true));
    await expect(once(stream, 'close')).rejects.toMatchObject({ code: 'ERR_HTTP2_STREAM_ERROR' });
    expect(ended).toBe(false);
    expect(stream.rstCode).toBe(constants.NGHTTP2_INTERNAL_ERROR);
    await whenTrue(() => gateway.records.some(({ msg }) => msg === 'request aborted'));
    expect(gateway.records.at(-1)).toMatchObject({ 'error.type': 'upstream_broke_off', cause: 'reset' });
    expect(session.destroyed).toBe(false);
  });
});

test.each([
  ['without TLS', async () => (await startFor({ protocol: 'h2c' })).url],
  ['by TLS', async () => (await startFor({ tls: await makeCertificate() })).url.replace('http:', 'https:')],
])(
  '%s HTTP/2 has the limits of HTTP/1.1: the size of heads, and how many requests at once',
  async (_, start) => {
    const session = open(await start(), { rejectUnauthorized: false });
    await once(session, 'remoteSettings');
    expect(session.remoteSettings).toMatchObject({ maxConcurrentStreams: 128, maxHeaderListSize: 16_384 });
    const tooMuch = session.request({ ':path': '/a', x: 'a'.repeat(17_000) });
    await expect(once(tooMuch, 'response')).rejects.toMatchObject({ code: 'ERR_HTTP2_STREAM_ERROR' });
    expect((await ask(session, { ':path': '/a', x: 'a'.repeat(15_000) })).head[':status']).toBe(200);
  },
);

const someTable = {
  upstreams: { u: { addresses: ['http://127.0.0.1:1'] } },
  routes: [{ path: '/a', upstream: 'u', access: 'public' }],
};

describe('TLS', () => {
  test('a head of HTTP/1.1 that is too long is 431', async () => {
    const { url } = await startFor({ tls: await makeCertificate() });
    const headers = { x: 'a'.repeat(17_000) };
    const outgoing = request(url.replace('http:', 'https:'), {
      headers,
      rejectUnauthorized: false,
      agent: false,
    });
    const [response] = (await once(outgoing.end(), 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(431);
    response.resume();
  });

  test('speaks HTTP/2 and HTTP/1.1, and says so to the upstream', async () => {
    const tls = await makeCertificate();
    const { url } = await startFor({ tls });
    const secure = url.replace('http:', 'https:');
    const { text } = await ask(open(secure, { rejectUnauthorized: false }), { ':path': '/a' });
    expect(JSON.parse(text)).toMatchObject({ 'x-forwarded-proto': 'https' });
    const outgoing = request(`${secure}/a`, { rejectUnauthorized: false, agent: false });
    const [response] = (await once(outgoing.end(), 'response')) as [IncomingMessage];
    let answer = '';
    for await (const chunk of response) answer += String(chunk);
    expect(JSON.parse(answer)).toMatchObject({ 'x-forwarded-proto': 'https' });
  });

  test('a certificate that is renewed is taken up once its key is there too', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-'));
    const files = { certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
    const write = async (part: 'certificate' | 'key', text: string): Promise<void> => {
      await writeFile(`${files[part]}.new`, text);
      await rename(`${files[part]}.new`, files[part]);
    };
    const [old, renewed] = [await makeCertificate(), await makeCertificate()];
    await write('certificate', old.certificate);
    await write('key', old.key);
    await using gateway = runGateway(someTable, {
      TLS_CERTIFICATE_FILE: files.certificate,
      TLS_KEY_FILE: files.key,
    });
    const port = Number(new URL(await gateway.url()).port);
    const presented = async (): Promise<string> => {
      const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      return new X509Certificate(raw).fingerprint256;
    };
    const fingerprint = ({ certificate }: { certificate: string }): string =>
      new X509Certificate(certificate).fingerprint256;
    expect(await presented()).toBe(fingerprint(old));
    await write('certificate', renewed.certificate);
    await gateway.logged('certificate and key do not fit; the old ones stay');
    expect(await presented()).toBe(fingerprint(old));
    await write('key', renewed.key);
    await gateway.logged('the certificate was renewed');
    expect(await presented()).toBe(fingerprint(renewed));
    await rm(folder, { recursive: true });
  });

  test('a key of another certificate stops the start', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-'));
    const files = { certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
    await writeFile(files.certificate, (await makeCertificate()).certificate);
    await writeFile(files.key, (await makeCertificate()).key);
    await using gateway = runGateway(someTable, {
      TLS_CERTIFICATE_FILE: files.certificate,
      TLS_KEY_FILE: files.key,
    });
    expect(await gateway.exitCode).toBe(1);
    expect(JSON.stringify(gateway.records.at(-1))).toContain('TLS_CERTIFICATE_FILE and TLS_KEY_FILE');
    await rm(folder, { recursive: true });
  });
});
