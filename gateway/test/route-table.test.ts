import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { parseRouteTable, readRouteTable } from '../src/routes/route-table.ts';

const surroundings = {
  locations: new Map([
    ['records-api', ['http://127.0.0.1:8081']],
    ['caller-api', ['http://127.0.0.1:8082']],
  ]),
  apis: new Set(['records-api']),
};
const parse = (text: string) => parseRouteTable(text, surroundings);

describe('the table that comes with the gateway', () => {
  const file = fileURLToPath(new URL('../routes.yaml', import.meta.url));
  const { match } = readRouteTable(file, surroundings).table;
  test.each([
    ['/api/records', 'records-api'],
    ['/api/Records', 'records-api'],
    ['/API/RECORDS/7', 'records-api'],
    ['/caller/records', 'caller-api'],
    ['/', undefined],
    ['/api', undefined],
    ['/api/recordsx', undefined],
    ['/callers', undefined],
    ['/x/api/records', undefined],
  ])('%s goes to %s', (path, upstream) => {
    expect(match(path)?.upstream).toBe(upstream);
  });
});

describe('which route wins', () => {
  const { match } = parse(`
routes:
  - { path: /, upstream: caller-api, access: public }
  - { path: /api, upstream: caller-api, access: public }
  - { path: /api/*/history, upstream: caller-api, access: public }
  - { path: /api/records/history, upstream: records-api, access: public }
  - { path: /api/records, upstream: records-api, access: public }`);
  test.each([
    ['/api/records/1', '/api/records'],
    ['/api/other', '/api'],
    ['/api/records/history/2', '/api/records/history'],
    ['/api/7/history', '/api/*/history'],
    ['/api//history', '/api'],
    ['/elsewhere', '/'],
  ])('%s is matched by %s', (path, route) => {
    expect(match(path)?.path).toBe(route);
  });
});

test('headers of answers that are only reserved in requests can be stripped', () => {
  const text = `routes: [{ path: /a, upstream: records-api, access: public, responseHeaders: { strip: [x-ms-version] } }]`;
  expect(parse(text).routes[0]?.responseHeaders.strip).toEqual(['x-ms-version']);
});

test('CORS of an upstream can be stripped, and origins of browsers in any form that they have be named', () => {
  const origins = [
    'https://a.example',
    'http://localhost:3000',
    'http://[::1]:8080',
    'https://a.example:8443',
  ];
  const route = { path: '/a', upstream: 'records-api', access: 'public', cors: { origins } };
  const responseHeaders = { strip: ['Access-Control-Allow-Origin'] };
  const [parsed] = parse(JSON.stringify({ routes: [{ ...route, responseHeaders }] })).routes;
  expect(parsed?.cors?.origins).toEqual(origins);
  expect(parsed?.responseHeaders.strip).toEqual(['access-control-allow-origin']);
});

test.each([
  ['/a/*/c', '/b/*/c'],
  ['/a/*', '/a/b'],
  ['/a/*', '/a/*/c'],
  ['/a/*/c/*', '/a/b/*/*/e'],
  ['/a/.b', '/a/...'],
])('%s and %s do not clash', (one, other) => {
  const routes = [one, other].map((path) => ({ path, upstream: 'records-api', access: 'public' }));
  expect(parse(JSON.stringify({ routes })).routes).toHaveLength(2);
});

describe('what is refused, with line and reason', () => {
  const route = (more: string): string => `routes:\n  - { path: /a, upstream: records-api, ${more} }`;
  test.each([
    ['no YAML', 'routes:\n  - [', /line 2/],
    ['no routes', 'routes: []', /line 1: routes/],
    ['an unknown key', route('access: public, colour: red'), /line 2: .*colour/],
    [
      'no access',
      'routes:\n  - { path: /a, upstream: records-api }',
      /must be "public", or an api with a policy/,
    ],
    [
      'a path without a slash',
      'routes: [{ path: a, upstream: records-api, access: public }]',
      /line 1: routes\.0\.path/,
    ],
    [
      'an upstream nobody located',
      'routes: [{ path: /a, upstream: nobody, access: public }]',
      /"nobody" has no addresses/,
    ],
    [
      'the same path twice',
      'routes:\n  - { path: /a, upstream: records-api, access: public }\n  - { path: /A, upstream: records-api, access: public }',
      /line 3: routes\.1\.path: clashes with routes\.0, which fits the same paths/,
    ],
    [
      'a role without an API to check it',
      route('access: { api: other-api, policy: { appRole: r } }'),
      /line 2: routes\.0\.access: no API "other-api" is configured/,
    ],
    [
      'a policy that lets everybody in',
      route('access: { api: records-api, policy: { tenants: [] } }'),
      /not a policy/,
    ],
    [
      'a header that the gateway handles',
      route('access: public, requestHeaders: { set: { Host: x } }'),
      /line 2: routes\.0\.requestHeaders\.set\.Host/,
    ],
    ...['X-Forwarded-For', 'X-Caller-Application-Id', 'Via', 'Expect', 'Proxy-Connection', 'X-MS-CLIENT'].map(
      (name): [string, string, RegExp] => [
        `${name}, which the gateway alone says`,
        route(`access: public, requestHeaders: { set: { ${name}: x } }`),
        /line 2: .*is a header that the gateway alone handles/,
      ],
    ),
    [
      'a request id of the route in the answer',
      route('access: public, responseHeaders: { set: { X-Request-Id: x } }'),
      /line 2: .*is a header that the gateway alone handles/,
    ],
    ...['"x\\ny"', 'é', '"x y"', '"x, y"', '""'].flatMap((name) =>
      ['headers', 'expose'].map((list): [string, string, RegExp] => [
        `${name} among the ${list} of CORS`,
        route(`access: public, cors: { origins: [https://a.example], ${list}: [x-a, ${name}] }`),
        new RegExp(`line 2: routes\\.0\\.cors\\.${list}\\.1: must be a header name`),
      ]),
    ),
    ...[
      ['https://EXAMPLE.com', 'https://example.com'],
      ['https://example.com:443', 'https://example.com'],
      ['http://example.com:80', 'http://example.com'],
      ['https://example.com/', 'https://example.com'],
      ['https://bücher.example', 'https://xn--bcher-kva.example'],
    ].map(([written, sent]): [string, string, RegExp] => [
      `${written}, which no browser says`,
      route(`access: public, cors: { origins: [https://a.example, "${written}"] }`),
      new RegExp(`line 2: routes\\.0\\.cors\\.origins\\.1: is never sent: browsers say ${sent}`),
    ]),
    ...['example.com', 'ftp://example.com', 'null', 'https://*.example.com', 'https://a:b'].map(
      (origin): [string, string, RegExp] => [
        `"${origin}", which is no origin`,
        route(`access: public, cors: { origins: ["${origin}"] }`),
        /line 2: routes\.0\.cors\.origins\.0: must be an origin or \*/,
      ],
    ),
    [
      'CORS past `cors`',
      route('access: public, responseHeaders: { set: { Access-Control-Allow-Origin: "*" } }'),
      /line 2: routes\.0\.responseHeaders\.set\.Access-Control-Allow-Origin: is said by cors alone/,
    ],
    [
      'two patterns that fit the same paths',
      'routes:\n  - { path: /a/*/c, upstream: records-api, access: public }\n  - { path: /A/b/*, upstream: records-api, access: public }',
      /line 3: routes\.1\.path: clashes with routes\.0, which fits the same paths/,
    ],
    ...['/a/..', '/a/../b', '/./a', '/..'].map((path): [string, string, RegExp] => [
      `the steps of ${path}`,
      `routes: [{ path: ${path}, upstream: records-api, access: public }]`,
      /line 1: routes\.0\.path: must be a path/,
    ]),
    [
      'a step in a rewrite',
      route('access: public, rewrite: /b/../c'),
      /line 2: routes\.0\.rewrite: must be a path/,
    ],
    [
      'an address with a path',
      `upstreams: { x: { addresses: ['http://h/p'] } }\n${route('access: public')}`,
      /must be an origin/,
    ],
    [
      'WebSocket over TLS to the upstream',
      `upstreams: { x: { addresses: ['https://h'] } }\nroutes: [{ path: /a, upstream: x, access: public, webSocket: true }]`,
      /line 2: routes\.0\.webSocket: is for upstreams of plain HTTP alone/,
    ],
  ])('%s', (_, text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  test('a file that is not there is named', () => {
    expect(() => readRouteTable('/nowhere/routes.yaml', surroundings)).toThrow(
      /\/nowhere\/routes\.yaml cannot be read \(ENOENT\)/,
    );
  });
});
