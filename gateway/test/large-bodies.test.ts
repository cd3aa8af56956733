import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:http2';
import { request as requestTls } from 'node:https';
import type { Duplex, Readable, Writable } from 'node:stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { createUndiciTransport } from '../src/transport/undici-transport.ts';
import { makeCertificate } from './certificate.ts';
import { startGateway, startUpstream, stopAll } from './start-gateway.ts';
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
  'HTTP/2 by TLS': { secure: true, protocol: 'http1', send: overHttp2 },
} as const;
const framings = {
  'of a length': { 'content-length': String(megabytes * block.length) },
  chunked: {},
};
const transports = { http1: createHttp1Transport, undici: createUndiciTransport };

describe.each(['http1', 'undici'] as const)('over %s', (transport) => {
  describe.each(Object.entries(clients))('a body by %s', (_name, { secure, protocol, send }) => {
    test.each(Object.entries(framings))(
      '%s comes back as it was, past every full buffer',
      async (_, headers) => {
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
      },
    );
  });
});
