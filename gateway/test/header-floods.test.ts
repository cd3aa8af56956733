import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createTrustedProxies, readClient } from '../src/headers/client-address.ts';
import { SortedRequestHeaders } from '../src/headers/request-headers.ts';
import { sortResponseHeaders } from '../src/headers/response-headers.ts';
import { startGateway, startUpstream, stopAll } from './start-gateway.ts';

afterEach(stopAll);

/** The least of several times, in milliseconds: what else the machine does only adds to it. */
const leastMs = (run: () => unknown): number => {
  const times = Array.from({ length: 20 }, () => {
    const startMs = performance.now();
    run();
    return performance.now() - startMs;
  });
  return Math.min(...times);
};

describe('as many headers as fit into 16 KiB cost what their bytes cost', () => {
  const names = Array.from({ length: 950 }, (_, index) => `h${index}`);
  const oneLine = ['Connection', names.join(',')];
  const manyLines = names.flatMap((name) => ['Connection', name]);

  test.each<[string, (headers: string[]) => unknown]>([
    ['requests', (headers) => new SortedRequestHeaders(headers)],
    ['answers', (headers) => sortResponseHeaders(headers)],
  ])('Connection in many lines, of %s', (_, sort) => {
    expect(leastMs(() => sort(manyLines))).toBeLessThan(10 * leastMs(() => sort(oneLine)));
  });

  test('trusted hops', () => {
    const trusted = createTrustedProxies(['10.0.0.0/8']);
    const connection = { peer: '10.0.0.1', proto: 'http', host: 'x' } as const;
    const read = (hops: number) =>
      readClient(connection, { for: Array.from({ length: hops }, () => '10.1.1.1').join(',') }, trusted);
    expect(leastMs(() => read(1_600))).toBeLessThan(10 * leastMs(() => read(32)));
    expect(read(32).forwardedFor).toBe(
      [...Array.from({ length: 32 }, () => '10.1.1.1'), '10.0.0.1'].join(', '),
    );
    expect(read(33)).toEqual(read(32));
  });

  test('what all the lines name is left out', () => {
    expect([...(new SortedRequestHeaders(['Connection', 'close', ...manyLines]).named ?? [])]).toEqual(names);
    const answer = sortResponseHeaders([...names.flatMap((name) => [name, '1']), ...manyLines, 'X-A', 'b']);
    expect(answer.headers).toEqual(['X-A', 'b']);
  });
});

test('a Host is at most as long as a name and a port', async () => {
  const heard: (string | undefined)[] = [];
  const origin = await startUpstream((incoming, outgoing) => {
    heard.push(incoming.headers['x-forwarded-host'] as string);
    outgoing.end();
  });
  const { url } = await startGateway({
    table: {
      upstreams: { u: { addresses: [origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public' }],
    },
  });
  const ask = async (host: string): Promise<number | undefined> => {
    const [answer] = (await once(request(`${url}/a`, { headers: { host } }).end(), 'response')) as [
      IncomingMessage,
    ];
    answer.resume();
    return answer.statusCode;
  };
  const longest = `${'a.'.repeat(125)}:8443`;
  expect(longest).toHaveLength(255);
  expect(await ask(longest)).toBe(200);
  expect(await ask(`a${longest}`)).toBe(400);
  expect(heard).toEqual([longest]);
});
