import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createFetchJson } from '../src/assertions/fetch-json.ts';
import { checkAssertionTimes } from '../src/assertions/client-assertion.ts';
import { createIssuerKeys } from '../src/assertions/issuer-keys.ts';

const nowMs = Date.UTC(2030, 0, 1);

describe('documents of issuers that cannot be used are not quoted', () => {
  let server: Server;
  let issuer: string;
  let answer: string;
  beforeAll(async () => {
    server = createServer((_, response) => response.end(answer)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.close();
  });

  test.each([
    ['hush-hush', /answered no JSON/],
    ['{"jwks_uri":"hush-hush"}', /no discovery document/],
  ])('%s', async (text, message) => {
    answer = text;
    const fetchJson = createFetchJson({ timeoutMs: 2000, maxBytes: 1000 });
    const keys = createIssuerKeys({ fetchJson, clock: () => nowMs, ownKeys: () => undefined });
    const error = await keys.find(issuer, 'kid').catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(message);
    expect(String(error)).not.toContain('hush');
  });
});

test('the keys of so many issuers are kept, and no more', async () => {
  const fetched: string[] = [];
  const fetchJson = (url: string): Promise<unknown> => {
    fetched.push(url);
    return Promise.resolve(url.endsWith('/keys') ? { keys: [] } : { jwks_uri: 'https://issuer.test/keys' });
  };
  const keys = createIssuerKeys({ fetchJson, clock: () => nowMs, ownKeys: () => undefined });
  for (let n = 0; n < 250; n += 1) await keys.find(`https://issuer.test/${n}`, 'kid');
  const count = fetched.length;
  await keys.find('https://issuer.test/249', 'kid');
  expect(fetched).toHaveLength(count);
  await keys.find('https://issuer.test/0', 'kid');
  expect(fetched).toHaveLength(count + 2);
});

describe('an assertion ends within a day', () => {
  const check = (seconds: number) => () =>
    checkAssertionTimes(
      {
        header: {},
        claims: { exp: nowMs / 1000 + seconds, nbf: nowMs / 1000 },
        signingInput: Buffer.alloc(0),
        signature: Buffer.alloc(0),
      },
      nowMs,
    );

  test('else it is refused', () => {
    expect(check(86_400)).not.toThrow();
    expect(check(90_000)).toThrow(/assertion/i);
    expect(check(1e12)).toThrow(/assertion/i);
  });
});
