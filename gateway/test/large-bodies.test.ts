import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:http2';
import { request as requestTls } from 'node:https';
import type { Duplex, Readable, Writable } from 'node:stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import type { Transport, TransportOptions } from '../src/transport/transport.ts';
import { createUndiciTransport } from '../src/transport/undici-transport.ts';
import { makeCertificate } from './certificate.ts';
import { startGateway, startUpstream, stopAll, whenTrue } from './start-gateway.ts';
import { settled } from './transport/scripted-upstream.ts';

const cleanUp: (() => void)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0)) step();
  await stopAll();
});

/** More than all socket buffers between the client and the upstream take. */
const megabytes = 40;
const block = randomBytes(1_000_003);
const expected = createHash('sha256');
for (let index = 0; index < megabytes; index += 1) expected.update(block);
const digest = expected.digest('hex');

interface Sending {
  outgoing: Writable;
  /** Resolves once the answer has begun. */
  answer: Promise<Readable>;
}

const overHttp1 = (url: string, headers: Record<string, string>): Sending => {
  const send = url.startsWith('https:') ? requestTls : request;
  const options = { method: 'POST', headers, agent: false, rejectUnauthorized: false };
  const outgoing = send(`${url}/a`, options);
  return { outgoing, answer: once(outgoing, 'response').then(([answer]) => answer as IncomingMessage) };
};

const overHttp2 = (url: string, headers: Record<string, string>): Sending => {
  const session = connect(url, { rejectUnauthorized: false });
  cleanUp.push(() => session.destroy());
  const outgoing: Duplex = session.request({ ':path': '/a', ':method': 'POST', ...headers });
  return { outgoing, answer: once(outgoing, 'response').then(() => outgoing) };
};

const clients = {
  'HTTP/1.1': { secure: false, protocol: 'http1', send: overHttp1 },
  'HTTP/1.1 by TLS': { secure: true, protocol: 'http1', send: overHttp1 },
  'HTTP/2': { secure: false, protocol: 'h2c', send: overHttp2 },
  // The listener by TLS speaks either; the client chooses.
  'HTTP/2 by TLS': { secure: true, protocol: 'http1', send: overHttp2 },
} as const;
const framings = {
  'of a length': { 'content-length': String(megabytes * block.length) },
  chunked: {},
};
const transports = { http1: createHttp1Transport, undici: createUndiciTransport };

describe.each(['http1', 'undici'] as const)('over %s', (transport) => {
  describe.each(Object.entries(clients))('a body by %s', (_name, { secure, protocol, send }) => {
    test.each(Object.entries(framings))('%s comes back as it was, past full buffers', async (_, headers) => {
      const upstream = await startUpstream((incoming, outgoing) => {
        outgoing.flushHeaders();
        incoming.pipe(outgoing);
      });
      const { url } = await startGateway({
        createTransport: transports[transport],
        protocol,
        ...(secure && { tls: await makeCertificate() }),
        table: {
          upstreams: { u: { addresses: [upstream] } },
          routes: [{ path: '/a', upstream: 'u', access: 'public', maxBodyBytes: 2 ** 30 }],
        },
      });
      const { outgoing, answer } = send(secure ? url.replace('http:', 'https:') : url, headers);
      let taken = 0;
      const write = async (): Promise<void> => {
        for (; taken < megabytes; taken += 1) {
          if (!outgoing.write(block)) await once(outgoing, 'drain');
        }
        outgoing.end();
      };
      const writing = write();
      const incoming = await answer;
      await settled(() => taken);
      expect(taken).toBeLessThan(megabytes);
      const hash = createHash('sha256');
      for await (const chunk of incoming) hash.update(chunk as Buffer);
      await writing;
      expect(hash.digest('hex')).toBe(digest);
    });
  });
});

/** Our own client, which also remembers those chunks of answers that have memory of their own. */
const remembering =
  (chunks: Buffer[]) =>
  (origin: string, options: TransportOptions): Transport => {
    const transport = createHttp1Transport(origin, options);
    return {
      get stats() {
        return transport.stats;
      },
      close: () => transport.close(),
      send: (request, sink, timeouts) =>
        transport.send(
          request,
          {
            onHead: (...head) => sink.onHead(...head),
            onData(chunk) {
              if (chunk.byteLength === chunk.buffer.byteLength) chunks.push(chunk);
              return sink.onData(chunk);
            },
            onEnd: (trailers) => sink.onEnd(trailers),
            onError: (error) => sink.onError(error),
          },
          timeouts,
        ),
    };
  };

test.each([
  ['are freed once they are written', 'http1', overHttp1, {}, true],
  ['of HTTP/2 are left alone', 'h2c', overHttp2, {}, false],
  ['that are compressed are left alone', 'http1', overHttp1, { 'accept-encoding': 'gzip' }, false],
] as const)('the chunks of an answer %s', async (_name, protocol, send, headers, freed) => {
  const text = Buffer.alloc(2 ** 20, 'text');
  const origin = await startUpstream((_, outgoing) => {
    outgoing.setHeader('content-type', 'text/plain');
    outgoing.end(text);
  });
  const chunks: Buffer[] = [];
  const { url, records } = await startGateway({
    createTransport: remembering(chunks),
    protocol,
    table: {
      upstreams: { u: { addresses: [origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public', compress: true }],
    },
  });
  const { outgoing, answer } = send(url, headers);
  outgoing.end();
  for await (const _ of await answer);
  await whenTrue(() => records.length > 0);
  expect(new Set(chunks.map((chunk) => chunk.length === 0))).toEqual(new Set([freed]));
});
