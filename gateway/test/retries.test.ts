import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { smallBodyBytes } from '../src/transport/transport.ts';
import { createUndiciTransport } from '../src/transport/undici-transport.ts';
import { type ScriptedServer, startScripted } from './scripted-server.ts';
import { startGateway, stopAll } from './start-gateway.ts';

const upstreams: ScriptedServer[] = [];
afterEach(async () => {
  await stopAll();
  for (const upstream of upstreams.splice(0)) await upstream.stop();
});

const resets: ScriptedServer['answer'] = (socket) => socket.resetAndDestroy();

const ascending = (a: number, b: number): number => a - b;

describe.each([
  ['http1', createHttp1Transport],
  ['undici', createUndiciTransport],
])('over %s', (_, createTransport) => {
  /** Two addresses that do the same. */
  const startTwo = async (answer: ScriptedServer['answer'], route: object = {}) => {
    const both = [await startScripted(answer), await startScripted(answer)];
    upstreams.push(...both);
    const { url } = await startGateway({
      createTransport,
      table: {
        upstreams: { u: { addresses: both.map(({ origin }) => origin) } },
        routes: [{ path: '/', upstream: 'u', access: 'public', ...route }],
      },
    });
    return {
      send: async (method: string, body?: Buffer): Promise<number | undefined> => {
        const outgoing = request(url, { method, agent: false }).end(body);
        const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
        response.resume();
        return response.statusCode;
      },
      /** How many requests each of them has seen. */
      seen: () => both.map(({ heads }) => heads.length),
    };
  };

  test.each(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])(
    'a %s that may have been seen goes to the other address',
    async (method) => {
      const { send, seen } = await startTwo(resets);
      expect(await send(method)).toBe(502);
      expect(seen()).toEqual([1, 1]);
    },
  );

  test.each(['POST', 'PATCH', 'PROPFIND'])('a %s does not', async (method) => {
    const { send, seen } = await startTwo(resets);
    expect(await send(method)).toBe(502);
    expect(seen().toSorted(ascending)).toEqual([0, 1]);
  });

  test.each([
    ['short enough to be kept does', smallBodyBytes, [1, 1]],
    ['longer than that does not', smallBodyBytes + 1, [0, 1]],
  ])('a PUT with a body that is %s', async (_name, bytes, expected) => {
    const { send, seen } = await startTwo(resets);
    expect(await send('PUT', Buffer.alloc(bytes))).toBe(502);
    expect(seen().toSorted(ascending)).toEqual(expected);
  });

  test('a request that had no answer within headMs does not: the next one would wait as long', async () => {
    const { send, seen } = await startTwo(() => undefined, { timeouts: { headMs: 1 } });
    expect(await send('GET')).toBe(504);
    expect(seen().toSorted(ascending)).toEqual([0, 1]);
  });

  test.each([
    [0, [0, 1]],
    [3, [2, 2]],
  ])('with retries: %i there are no more than that', async (retries, expected) => {
    const { send, seen } = await startTwo(resets, { retries });
    expect(await send('GET')).toBe(502);
    expect(seen().toSorted(ascending)).toEqual(expected);
  });
});
