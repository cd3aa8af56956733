import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent as HttpAgent, request as requestHttp, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { graphOperations } from '../src/graph/graph-operations.ts';
import { runEntra, type RunningEntra } from './running-entra.ts';

const tenant = '10ca10ca-0000-4000-8000-10ca10ca10ca';
const api1 = 'a9100001-0000-4000-8000-000000000001';
const api2 = 'a9100002-0000-4000-8000-000000000002';
const provisioner = 'a91000ff-0000-4000-8000-0000000000ff';
/** A request that takes longer hangs. */
const patienceMs = 10_000;
const httpAgent = new HttpAgent({ keepAlive: true });

let entra: RunningEntra;
let httpsAgent: HttpsAgent;
let secret: string;
let graphToken: string;

interface Sent {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

const send = async (base: string, path: string, { method = 'GET', headers = {}, body }: Sent = {}) => {
  const signal = AbortSignal.timeout(patienceMs);
  // Node's client frames no body of a DELETE by itself: its bytes would be the connection's next request.
  const framed =
    body === undefined ? headers : { ...headers, 'content-length': String(Buffer.byteLength(body)) };
  const outgoing = base.startsWith('https:')
    ? requestHttps(`${base}${path}`, { method, headers: framed, agent: httpsAgent, signal })
    : requestHttp(`${base}${path}`, { method, headers: framed, agent: httpAgent, signal });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const text = Buffer.concat(await response.toArray()).toString('utf8');
  return { status: response.statusCode ?? 0, text };
};

const postForm = (form: Record<string, string>) =>
  send(entra.origin, `/${tenant}/oauth2/v2.0/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(form).toString(),
  });

beforeAll(async () => {
  entra = await runEntra();
  httpsAgent = new HttpsAgent({ keepAlive: true, ca: entra.ca });
  secret = await entra.secret('api2');
  const { text } = await postForm({
    grant_type: 'client_credentials',
    client_id: provisioner,
    client_secret: await entra.secret('provisioner'),
    scope: 'https://graph.microsoft.com/.default',
  });
  graphToken = (JSON.parse(text) as { access_token: string }).access_token;
}, 20_000);
afterAll(async () => {
  httpsAgent.destroy();
  httpAgent.destroy();
  await entra.stop();
});
// Whatever came in, the process lives, has logged no error of its own, and does its work.
afterEach(async () => {
  assert.equal(entra.ended(), null);
  const mistakes = entra.errors.filter((line) => !line.includes('"http.response.status_code":501'));
  assert.deepEqual(mistakes.slice(0, 3), []);
  const good = { grant_type: 'client_credentials', client_id: api2, client_secret: secret };
  assert.equal((await postForm({ ...good, scope: `api://${api1}/.default` })).status, 200);
});

/** Answered, and not as a mistake of the server's: 501 says that something is not supported. */
const isProper = ({ status }: { status: number }): boolean =>
  status === 501 || (status >= 200 && status < 500);

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ maxLength: 60 }),
  fc.constantFrom(
    '',
    ' ',
    '/',
    '.default',
    '{tenant}',
    '%',
    '%00',
    '\u0000',
    '__proto__',
    'constructor',
    'a'.repeat(5000),
  ),
);
const parameter = fc.constantFrom(
  'grant_type',
  'client_id',
  'client_secret',
  'client_assertion',
  'client_assertion_type',
  'scope',
  'resource',
  'client-request-id',
  'claims',
  '__proto__',
);
const plausible = fc.record(
  {
    grant_type: fc.constantFrom('client_credentials', 'password'),
    client_id: fc.constantFrom(api2, api2.toUpperCase(), 'x'),
    client_secret: fc.oneof(text, fc.constant('')),
    client_assertion_type: fc.constant('urn:ietf:params:oauth:client-assertion-type:jwt-bearer'),
    scope: fc.oneof(text, fc.constant(`api://${api1}/.default`)),
  },
  { requiredKeys: [] },
);
const tenantName = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(tenant, 'countersign.localhost') }, text);
const json = fc.jsonValue({ maxDepth: 3 });
const part = fc.oneof(
  json.map((value) => Buffer.from(JSON.stringify(value)).toString('base64url')),
  fc.string({ maxLength: 40 }),
);
const claims = fc.record(
  {
    iss: fc.oneof(json, fc.constantFrom(api2, 'https://issuer.test')),
    sub: json,
    aud: json,
    exp: json,
    nbf: json,
    iat: json,
  },
  { requiredKeys: [] },
);
const header = fc.record(
  { alg: fc.constantFrom('PS256', 'RS256', 'none', 1), kid: json, x5t: json },
  { requiredKeys: [] },
);
const jwtPart = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const assertion = fc.oneof(
  fc
    .tuple(header, claims, part)
    .map(([head, body, signature]) => `${jwtPart(head)}.${jwtPart(body)}.${signature}`),
  fc.array(part, { maxLength: 5 }).map((parts) => parts.join('.')),
);
/** What Node's client lets out at all. */
const headerValue = fc
  .string({ maxLength: 200 })
  .map((value) => value.replaceAll(/[^\t\u0020-\u007e]/g, '?'));

describe('no input makes it fail, hang, crash or grow:', () => {
  test('forms at the token endpoint, 2000 of them', async () => {
    let before = 0;
    let count = 0;
    const form = fc.tuple(plausible, fc.dictionary(parameter, text, { maxKeys: 4 }), fc.option(assertion));
    await expect(
      fc.assert(
        fc.asyncProperty(tenantName, form, fc.boolean(), async (name, [good, odd, jwt], isV1) => {
          count += 1;
          if (count === 500) before = await entra.residentMegabytes();
          const fields = { ...good, ...odd, ...(jwt !== null && { client_assertion: jwt }) };
          const path = `/${encodeURIComponent(name.toWellFormed())}/oauth2${isV1 ? '' : '/v2.0'}/token`;
          const answer = await send(entra.origin, path, {
            method: 'POST',
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
            body: new URLSearchParams(fields).toString(),
          });
          return isProper(answer) && answer.status >= 400;
        }),
        { numRuns: 2000 },
      ),
    ).resolves.toBeUndefined();
    expect((await entra.residentMegabytes()) - before).toBeLessThan(30);
  }, 120_000);

  test('bodies that are no forms, and headers, 1000 of them', async () => {
    const body = fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes));
    const headers = fc.dictionary(
      fc.constantFrom(
        'authorization',
        'content-type',
        'accept',
        'traceparent',
        'x-request-id',
        'client-request-id',
        'prefer',
      ),
      fc.oneof(
        headerValue,
        fc.constantFrom('Basic Og==', 'Basic %', 'Bearer', 'Bearer a.b.c', 'application/json'),
      ),
    );
    const method = fc.constantFrom('POST', 'GET', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH');
    await expect(
      fc.assert(
        fc.asyncProperty(method, headers, body, async (verb, fields, bytes) =>
          isProper(
            await send(entra.origin, `/${tenant}/oauth2/v2.0/token`, {
              method: verb,
              headers: fields,
              body: bytes,
            }),
          ),
        ),
        { numRuns: 1000 },
      ),
    ).resolves.toBeUndefined();
  }, 120_000);

  test('paths and queries, 1000 of them', async () => {
    const prefix = fc.constantFrom('/', `/${tenant}/`, '/common/discovery/instance?', '/v1.0/', '/common/');
    await expect(
      fc.assert(
        fc.asyncProperty(prefix, fc.webPath(), fc.webQueryParameters(), async (start, path, query) =>
          isProper(await send(entra.origin, `${start}${path}?${query}`)),
        ),
        { numRuns: 1000 },
      ),
    ).resolves.toBeUndefined();
  }, 120_000);

  test('Graph requests, 2000 of them', async () => {
    const field = fc.constantFrom(
      'displayName',
      'uniqueName',
      'identifierUris',
      'api',
      'appRoles',
      'optionalClaims',
      'requiredResourceAccess',
      'keyCredentials',
      'passwordCredential',
      'keyId',
      'name',
      'issuer',
      'subject',
      'audiences',
      'appId',
      'web',
      'principalId',
      'resourceId',
      'appRoleId',
      'accountEnabled',
      'description',
      '__proto__',
      '@odata.type',
    );
    const body = fc.oneof(
      fc.dictionary(field, json, { maxKeys: 5 }).map((value) => JSON.stringify(value)),
      json.map((value) => JSON.stringify(value)),
      fc.string({ maxLength: 50 }),
    );
    const operation = fc.constantFrom(...Object.keys(graphOperations), 'GET users', 'POST $batch');
    const key = fc.oneof(
      fc.constantFrom(`(appId='${api1}')`, "(uniqueName='records-api')", "('x')", '/'),
      text,
    );
    const query = fc.dictionary(fc.constantFrom('$filter', '$select', '$top', '$skiptoken', '$count'), text);
    const filter = fc.constantFrom("appId eq '", "a/b eq 'c' and ", 'startswith(', "a/any(x:x eq 'y')");
    await expect(
      fc.assert(
        fc.asyncProperty(operation, key, body, query, filter, async (name, by, payload, options, start) => {
          const [method = '', pattern = ''] = name.split(' ');
          const replacement = by.startsWith('(') ? by : `/${encodeURIComponent(by.toWellFormed())}`;
          const path = pattern.replaceAll('/{key}', () => replacement);
          const { $filter = '', ...rest } = options;
          const search = new URLSearchParams({ ...rest, ...($filter && { $filter: `${start}${$filter}` }) });
          const headers = { authorization: `Bearer ${graphToken}`, prefer: 'create-if-missing' };
          return isProper(
            await send(entra.origin, `/v1.0/${path}?${search.toString()}`, {
              method,
              headers,
              ...(method !== 'GET' && { body: payload }),
            }),
          );
        }),
        { numRuns: 2000 },
      ),
    ).resolves.toBeUndefined();
  }, 120_000);

  test('the admin port and managed identity, 500 requests each', async () => {
    const path = fc.constantFrom('/faults', '/keys/rotate', '/propagation', '/forge');
    const payload = fc.oneof(
      json,
      fc.record(
        { resource: text, client: text, header: json, claims: json, roles: json },
        { requiredKeys: [] },
      ),
    );
    await expect(
      fc.assert(
        fc.asyncProperty(path, payload, async (route, value) => {
          const body = JSON.stringify(value);
          const headers = { 'content-type': 'application/json' };
          const method = route === '/propagation' ? 'PUT' : 'POST';
          return isProper(await send(entra.adminAddress, route, { method, headers, body }));
        }),
        { numRuns: 500 },
      ),
    ).resolves.toBeUndefined();
    await send(entra.adminAddress, '/faults', { method: 'DELETE' });

    const route = fc.constantFrom('/metadata/identity/oauth2/token', '/msi/token', '/metadata/');
    const query = fc.dictionary(
      fc.constantFrom('resource', 'api-version', 'client_id', 'object_id', 'principal_id'),
      text,
    );
    await expect(
      fc.assert(
        fc.asyncProperty(route, query, async (start, options) => {
          const search = new URLSearchParams({ 'api-version': '2019-08-01', ...options }).toString();
          const headers = { metadata: 'true', 'x-identity-header': 'header' };
          return isProper(await send(entra.identityAddress, `${start}?${search}`, { headers }));
        }),
        { numRuns: 500 },
      ),
    ).resolves.toBeUndefined();
  }, 120_000);

  test('bytes that are no HTTP, 200 connections', async () => {
    const { port } = new URL(entra.origin);
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.string().map((line) => Buffer.from(line)),
    );
    await expect(
      fc.assert(
        fc.asyncProperty(bytes, async (noise) => {
          const socket = connect({ port: Number(port), host: 'localhost', ca: entra.ca });
          await once(socket, 'secureConnect');
          const closed = new Promise((resolve) => socket.once('close', resolve));
          socket.on('error', () => undefined);
          socket.resume();
          socket.end(
            Buffer.concat([Buffer.from('POST / HTTP/1.1\r\nHost: x\r\n'), noise, Buffer.from('\r\n\r\n')]),
          );
          await closed;
          return true;
        }),
        { numRuns: 200 },
      ),
    ).resolves.toBeUndefined();
  }, 120_000);
});
