import { describe, expect, test } from '@jest/globals';
import { runGateway } from './gateway-process.ts';

const upstreams = `upstreams:
  u: { addresses: ['http://127.0.0.1:9'] }
`;

describe('a route table that cannot be used: one sentence with file, line and reason, exit 1', () => {
  test.each([
    ['no YAML', 'routes:\n  - [', /routes\.yaml: .* line 2/],
    [
      'an alias of nothing',
      `${upstreams}routes: *typo`,
      /routes\.yaml: line 3: nothing before it is called &typo/,
    ],
    [
      'aliases of aliases that would fill the memory',
      [
        'a: &a [x, x, x, x, x, x, x, x, x, x]',
        ...Array.from('bcdefghi', (name, index) => {
          const before = `*${'abcdefgh'[index]}`;
          return `${name}: &${name} [${Array.from({ length: 10 }, () => before).join(', ')}]`;
        }),
      ].join('\n'),
      /routes\.yaml: Excessive alias count/,
    ],
    [
      'a field that is none',
      `${upstreams}routes:\n  - { path: /a, upstream: u, acces: public }`,
      /routes\.yaml: line 4: .*acces/,
    ],
    [
      'two routes that clash',
      `${upstreams}routes:\n  - { path: /a, upstream: u, access: public }\n  - { path: /A, upstream: u, access: public }`,
      /routes\.yaml: line 5: routes\.1\.path: clashes with routes\.0/,
    ],
    [
      'an upstream that nobody located',
      `${upstreams}routes:\n  - { path: /a, upstream: other, access: public }`,
      /routes\.yaml: line 4: routes\.0\.upstream: "other" has no addresses, here or in UPSTREAMS/,
    ],
    [
      'a role without an API to check it',
      `${upstreams}routes:\n  - path: /a\n    upstream: u\n    access: { api: records-api, policy: { appRole: r } }`,
      /routes\.yaml: line 6: routes\.0\.access: no API "records-api" is configured to check its tokens \(APIS\)/,
    ],
    [
      'two things at once',
      `${upstreams}routes:\n  - { path: a, upstream: u, access: public }\n  - { path: /b, upstream: u, access: all }`,
      /line 4: routes\.0\.path: must be a path .*line 5: routes\.1\.access: must be "public"/,
    ],
  ])('%s', async (_, table, message) => {
    await using gateway = runGateway(table);
    expect(await gateway.exitCode).toBe(1);
    expect(gateway.records).toEqual([
      expect.objectContaining({ level: 'fatal', msg: expect.stringMatching(message) }),
    ]);
  });
});

test('settings that are wrong are all named at once, exit 1', async () => {
  await using gateway = runGateway('', {
    UPSTREAMS: 'u=nowhere',
    APIS: 'records-api=b1d2f3a4-0000-4000-8000-000000000001',
    TRUSTED_PROXIES: '10.0.0.0/',
    KEEP_ALIVE_MS: '0',
  });
  expect(await gateway.exitCode).toBe(1);
  const [record] = gateway.records;
  for (const name of ['UPSTREAMS', 'TRUSTED_PROXIES', 'KEEP_ALIVE_MS'])
    expect(record).toMatchObject({ level: 'fatal', msg: expect.stringContaining(name) });
});

test('an upstream that does not resolve: the log names it, its routes are 503 with Retry-After, the others go on', async () => {
  await using gateway = runGateway(`upstreams:
  u: { addresses: ['http://nowhere.invalid:8081'] }
routes:
  - { path: /a, upstream: u, access: public }`);
  const url = await gateway.url();
  expect(await gateway.logged('an upstream changed')).toMatchObject({
    level: 'warn',
    upstream: 'u',
    event: 'unresolved',
    address: 'http://nowhere.invalid:8081',
    err: { code: expect.stringMatching(/^(?:ENOTFOUND|EAI_AGAIN)$/) },
  });
  const response = await fetch(`${url}/a`);
  expect(response.status).toBe(503);
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await response.json()).toMatchObject({ code: 'upstream_unavailable' });
  expect((await fetch(url)).status).toBe(200);
});
