import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createTrustedProxies } from '../src/headers/client-address.ts';
import { startGateway, startUpstream, stopAll } from './start-gateway.ts';

const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await stopAll();
});

const start = async (settings: object) => {
  const heard: IncomingHttpHeaders[] = [];
  const origin = await startUpstream((incoming, outgoing) => {
    heard.push(incoming.headers);
    outgoing.end();
  });
  const { url } = await startGateway({
    ...settings,
    table: {
      upstreams: { u: { addresses: [origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public' }],
    },
  });
  return { url, heard };
};

/** The host that was asked. */
const own = undefined;
const client = '203.0.113.7';

describe.each([
  ['of a trusted peer', ['127.0.0.0/8'], true],
  ['of any other peer', ['192.0.2.0/24'], false],
])('what is said %s', (_, trustedProxies, isBelieved) => {
  test.each([
    ['https for another host', { proto: 'https', host: 'shop.example:8443' }, 'https', 'shop.example:8443'],
    ['http', { proto: 'http' }, 'http', own],
    ['https alone', { proto: 'https' }, 'https', own],
    ['what is no scheme', { proto: 'wss' }, 'http', own],
    ['several schemes', { proto: 'https, http' }, 'http', own],
    ['what is no host', { proto: 'https', host: 'evil.example";for=x' }, 'https', own],
    ['an empty host', { host: '' }, 'http', own],
  ])('%s', async (_name, said, proto, host) => {
    const { url, heard } = await start({ trustedProxies });
    const stated = Object.entries(said).map(([name, value]) => [`x-forwarded-${name}`, value]);
    const headers = Object.fromEntries([...stated, ['x-forwarded-for', client]]);
    expect((await fetch(`${url}/a`, { headers })).status).toBe(200);
    const asked = new URL(url).host;
    const seen = isBelieved
      ? { proto, host: host ?? asked, from: client, by: `${client}, 127.0.0.1` }
      : { proto: 'http', host: asked, from: '127.0.0.1', by: '127.0.0.1' };
    expect(heard[0]).toMatchObject({
      'x-forwarded-proto': seen.proto,
      'x-forwarded-host': seen.host,
      'x-forwarded-for': seen.by,
      forwarded: `for=${seen.from};host="${seen.host}";proto=${seen.proto}`,
    });
  });
});

test('a trusted peer, which speaks for many, has as many connections as it opens', async () => {
  const { url } = await start({ trustedProxies: ['127.0.0.1'], maxConnectionsPerAddress: 1 });
  for (let count = 0; count < 3; count += 1) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    sockets.push(socket);
    socket.write('GET /a HTTP/1.1\r\nHost: x\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
  }
});

test.each([
  '10.0.0.0/',
  '::1/',
  '10.0.0.0/8/8',
  '10.0.0.0/-1',
  '10.0.0.0/33',
  '::/129',
  '10.0.0/8',
  '/8',
  '',
])('the range "%s" is none, and trusts nobody', (range) => {
  expect(() => createTrustedProxies([range])).toThrow(
    new RangeError(`"${range}" is no address and no range such as 10.0.0.0/8`),
  );
});

test.each([
  '::ffff:203.0.113.7',
  '::FFFF:203.0.113.7',
  '::ffff:cb00:7107',
  '0:0:0:0:0:ffff:203.0.113.7',
  '[::ffff:cb00:7107]:1',
])('a client that a proxy calls %s is 203.0.113.7', async (written) => {
  const { url, heard } = await start({ trustedProxies: ['127.0.0.1'] });
  await fetch(`${url}/a`, { headers: { 'x-forwarded-for': written } });
  expect(heard[0]?.['x-forwarded-for']).toBe(`${client}, 127.0.0.1`);
});

test.each(['2001:db8::7', '2001:db8:0:ffff::7', '::ffff:0:cb00:7107'])(
  '%s is no IPv4 address',
  async (written) => {
    const { url, heard } = await start({ trustedProxies: ['127.0.0.1'] });
    await fetch(`${url}/a`, { headers: { 'x-forwarded-for': written } });
    expect(heard[0]?.['x-forwarded-for']).toBe(`${written}, 127.0.0.1`);
  },
);
