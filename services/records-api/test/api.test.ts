import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callerClientId, callerObjectId, tenantId } from '../../../packages/shared-auth/test/test-issuer.ts';
import { writeCursor } from '../src/cursor.ts';
import { startTestApi, type TestApi } from './test-api.ts';

type Json = Record<string, unknown>;

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api[Symbol.asyncDispose]());

const record = { name: 'Näme', description: 'two\nlines', date: '2026-05-01T10:00:00+02:00' };
const inUtc = { ...record, date: '2026-05-01T08:00:00.000Z' };
const create = async (fields: Json = {}): Promise<{ id: number; path: string }> => {
  const response = await api.call('POST', '/api/records', { body: { ...record, ...fields } });
  expect(response.status).toBe(201);
  const { id } = (await response.json()) as { id: number };
  return { id, path: `/api/records/${id}` };
};
const mergePatch = { 'content-type': 'application/merge-patch+json' };
const ifMatch = (tag: string): { 'if-match': string } => ({ 'if-match': tag });

describe('a record', () => {
  test('is created, with its place and version', async () => {
    const response = await api.call('POST', '/api/records', { body: record });
    expect(response.status).toBe(201);
    expect(response.headers.get('etag')).toBe('"1"');
    const path = response.headers.get('location') as string;
    const created = (await response.json()) as { id: number };
    expect(created).toEqual({ id: Number(path.split('/').at(-1)), ...inUtc });
    expect(await (await api.call('GET', path)).json()).toEqual(created);
  });

  test('is read again only when it has changed', async () => {
    const { path } = await create();
    expect((await api.call('GET', path, { headers: { 'if-none-match': '"1"' } })).status).toBe(304);
    expect((await api.call('GET', path, { headers: { 'if-none-match': 'W/"1"' } })).status).toBe(304);
    expect((await api.call('GET', path, { headers: { 'if-none-match': '"2"' } })).status).toBe(200);
    expect((await api.call('HEAD', path)).headers.get('etag')).toBe('"1"');
  });

  test('is replaced by what was read and edited', async () => {
    const { id, path } = await create();
    const read = await api.call('GET', path);
    const body = { ...((await read.json()) as Json), name: 'new' };
    const response = await api.call('PUT', path, {
      headers: ifMatch(read.headers.get('etag') as string),
      body,
    });
    expect(response.status).toBe(200);
    expect(response.headers.get('etag')).toBe('"2"');
    expect(await response.json()).toEqual({ id, ...inUtc, name: 'new' });
  });

  test('is changed by a merge patch, in what the patch names', async () => {
    const { id, path } = await create();
    const patch = { headers: { ...ifMatch('"1"'), ...mergePatch }, body: { description: '' } };
    const response = await api.call('PATCH', path, patch);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ id, ...inUtc, description: '' });
    expect((await api.call('PATCH', path, patch)).status).toBe(412);
  });

  test('is deleted, and its history stays', async () => {
    const { path } = await create();
    await api.call('PUT', path, {
      headers: { ...ifMatch('*'), 'x-request-id': 'the-second-write' },
      body: record,
    });
    expect((await api.call('DELETE', path, { headers: ifMatch('"2"') })).status).toBe(204);
    expect((await api.call('GET', path)).status).toBe(404);
    const author = { azp: callerClientId, oid: callerObjectId, tid: tenantId, uti: expect.any(String) };
    const history = await api.call('GET', `${path}/history`);
    expect(await history.json()).toEqual([
      { version: 1, action: 'created', at: expect.any(String), ...author, requestId: expect.any(String) },
      { version: 2, action: 'changed', at: expect.any(String), ...author, requestId: 'the-second-write' },
      { version: 3, action: 'deleted', at: expect.any(String), ...author, requestId: expect.any(String) },
    ]);
    const first = await api.call('GET', `${path}/history?limit=2`);
    const next = /<(.*)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1] as string;
    expect(await (await api.call('GET', next)).json()).toMatchObject([{ version: 3 }]);
  });
});

describe('preconditions', () => {
  test.each(['PUT', 'PATCH', 'DELETE'])(
    '%s without If-Match: 428; with a stale or weak one: 412',
    async (method) => {
      const { path } = await create();
      const headers = method === 'PATCH' ? mergePatch : {};
      const body = method === 'DELETE' ? undefined : record;
      const without = await api.call(method, path, { headers, body });
      expect(without.status).toBe(428);
      expect(await without.json()).toMatchObject({
        code: 'precondition_required',
        errors: [{ pointer: 'If-Match' }],
      });
      for (const tag of ['"2"', 'W/"1"', '"11"', '"0", "2"']) {
        const stale = await api.call(method, path, { headers: { ...headers, ...ifMatch(tag) }, body });
        expect(stale.status).toBe(412);
        expect(stale.headers.get('etag')).toBe('"1"');
        expect(await stale.json()).toMatchObject({
          code: 'precondition_failed',
          errors: [{ pointer: 'If-Match' }],
        });
      }
      const good = await api.call(method, path, { headers: { ...headers, ...ifMatch('"7", "1"') }, body });
      expect(good.ok).toBe(true);
    },
  );

  test.each(['1', '"1', '"1" "2"', '*, "1"', '"a"b"'])('If-Match: %s is malformed: 400', async (tag) => {
    const { path } = await create();
    const response = await api.call('DELETE', path, { headers: ifMatch(tag) });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ pointer: 'If-Match' }] });
  });

  test.each(['PUT', 'PATCH', 'DELETE'])('%s of a record that is not there: 404', async (method) => {
    const headers = { ...ifMatch('*'), ...(method === 'PATCH' && mergePatch) };
    const body = method === 'DELETE' ? undefined : record;
    expect((await api.call(method, '/api/records/987654321', { headers, body })).status).toBe(404);
  });
});

describe('lists', () => {
  const walk = async (path: string): Promise<{ pages: number; names: string[] }> => {
    const names: string[] = [];
    let pages = 0;
    for (let next: string | undefined = path; next !== undefined; pages += 1) {
      const response: Response = await api.call('GET', next);
      expect(response.status).toBe(200);
      names.push(...((await response.json()) as { name: string }[]).map(({ name }) => name));
      next = /<(.*)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
    }
    return { pages, names };
  };

  test('have ten records a page, and a link to the next', async () => {
    await create();
    const response = await api.call('GET', '/api/records');
    expect(((await response.json()) as Json[]).map(({ name }) => name)).toEqual(
      Array.from({ length: 10 }, (_, index) => `Record ${index + 1}`),
    );
    const { names } = await walk('/api/records?limit=3');
    const all = await walk('/api/records?limit=100');
    expect(names).toEqual(all.names);
    expect(all.pages).toBe(1);
  });

  test('are filtered by name, and by dates with both ends', async () => {
    expect((await walk('/api/records?name=Record%203')).names).toEqual(['Record 3']);
    const days = await walk('/api/records?from=2026-01-03&to=2026-01-05&limit=2');
    expect(days).toEqual({ pages: 2, names: ['Record 3', 'Record 4', 'Record 5'] });
    const moments = '/api/records?from=2026-01-03T00:00:00.001Z&to=2026-01-05T01:00:00%2B01:00';
    expect((await walk(moments)).names).toEqual(['Record 4', 'Record 5']);
    expect((await walk('/api/records?from=2026-01-05&to=2026-01-03')).names).toEqual([]);
    expect((await walk('/api/records?from=2026-01-10&to=9999-12-31')).names).toContain('Record 10');
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=ten', 'limit'],
    ['limit=1e1', 'limit'],
    ['limit=', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['cursor=abc', 'cursor'],
    ['cursor=', 'cursor'],
    ['cursor=eyJpZCI6MX0.AAAAAAAAAAAA', 'cursor'],
    ['from=yesterday', 'from'],
    ['from=2026-02-30', 'from'],
    ['to=0000-01-01', 'to'],
    ['name=', 'name'],
    ['name=%00', 'name'],
    ['page=2', 'page'],
  ])('%s: 400 that names the parameter', async (query, pointer) => {
    const response = await api.call('GET', `/api/records?${query}`);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'invalid_request', errors: [{ pointer }] });
  });

  test('a cursor is good for the list that gave it alone', async () => {
    const response = await api.call('GET', '/api/records?limit=1');
    const cursor = /cursor=([^&>]*)/.exec(response.headers.get('link') ?? '')?.[1] as string;
    expect((await api.call('GET', `/api/records?cursor=${cursor}&limit=5`)).status).toBe(200);
    for (const query of [
      `cursor=${cursor}&from=2026-01-01`,
      `cursor=x${cursor}`,
      `cursor=${cursor.slice(0, -1)}`,
    ])
      expect((await api.call('GET', `/api/records?${query}`)).status).toBe(400);
    expect((await api.call('GET', `/api/records/1/history?cursor=${cursor}`)).status).toBe(400);
  });
});

test.each([
  { id: [1, 2] },
  { a: 1 },
  'text',
  null,
  { id: 1, date: 'x' },
  { id: -1, date: '2026-01-01T00:00:00.000Z' },
])('a cursor with %j in it is none: 400', async (position) => {
  const forged = (scope: string): string => encodeURIComponent(writeCursor(scope, position));
  for (const path of [
    `/api/records?cursor=${forged('{}')}`,
    `/api/records/export?cursor=${forged('{}')}`,
    `/api/records/1/history?cursor=${forged('history 1')}`,
  ])
    expect((await api.call('GET', path)).status).toBe(400);
});

describe('bodies that cannot be meant', () => {
  test.each<[string, unknown, string[]]>([
    ['no object', [record], ['']],
    ['null', null, ['']],
    ['nothing in it', {}, ['/name', '/description', '/date']],
    ['a member too many', { ...record, nmae: 'x', 'a/b~': 1 }, ['/nmae', '/a~1b~0']],
    ['an id', { ...record, id: 1 }, ['/id']],
    ['numbers', { name: 1, description: 2, date: 3 }, ['/name', '/description', '/date']],
    ['an empty name', { ...record, name: '' }, ['/name']],
    ['a long name', { ...record, name: 'x'.repeat(201) }, ['/name']],
    ['a NUL', { ...record, description: 'a\0b' }, ['/description']],
    ['half a character', { ...record, name: '\ud800' }, ['/name']],
    ['a day that is none', { ...record, date: '2026-02-30T00:00:00Z' }, ['/date']],
    ['a date without a zone', { ...record, date: '2026-02-03T00:00:00' }, ['/date']],
    ['a year that is none', { ...record, date: '0001-01-01T00:00:00+14:00' }, ['/date']],
  ])('%s: 422 with a pointer for each place', async (_, body, pointers) => {
    const response = await api.call('POST', '/api/records', { body: JSON.stringify(body) });
    expect(response.status).toBe(422);
    const { errors } = (await response.json()) as { errors: { pointer: string }[] };
    expect(errors.map(({ pointer }) => pointer)).toEqual(pointers);
  });

  test('__proto__ is a member like any other: 422', async () => {
    const body = `{"__proto__": {"name": "x"}, ${JSON.stringify(record).slice(1)}`;
    expect((await api.call('POST', '/api/records', { body })).status).toBe(422);
    const { path } = await create();
    const patch = { headers: { ...ifMatch('*'), ...mergePatch }, body: '{"__proto__": {"name": "x"}}' };
    expect((await api.call('PATCH', path, patch)).status).toBe(422);
  });

  test.each([
    ['null takes a member away', { name: null }, '/name'],
    ['another id', { id: 1 }, '/id'],
    ['no id', { id: null }, '/id'],
    ['an array', [], ''],
    ['a member too many', { color: 'red' }, '/color'],
  ])('a patch where %s: 422', async (_, body, pointer) => {
    const { path } = await create();
    const response = await api.call('PATCH', path, { headers: { ...ifMatch('*'), ...mergePatch }, body });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ errors: [{ pointer }] });
    expect((await api.call('GET', path)).headers.get('etag')).toBe('"1"');
  });

  test.each(['', '{', '{"name":', 'name=x', '\ufeff{}x'])('%j is no JSON: 400', async (body) => {
    const response = await api.call('POST', '/api/records', { body });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'invalid_request', errors: [{ pointer: '' }] });
  });

  test('Latin-1 is no UTF-8: 400', async () => {
    const response = await fetch(`${api.url}/api/records`, {
      method: 'POST',
      headers: { authorization: `Bearer ${api.token()}`, 'content-type': 'application/json' },
      body: Buffer.from(JSON.stringify(record), 'latin1'),
    });
    expect(response.status).toBe(400);
  });

  test('more than 64 KiB: 413, with and without a length', async () => {
    const body = JSON.stringify({ ...record, description: 'x'.repeat(70_000) });
    const headers = { authorization: `Bearer ${api.token()}`, 'content-type': 'application/json' };
    const streamed = new Blob([body]).stream();
    for (const options of [{ body }, { body: streamed, duplex: 'half' as const }]) {
      const response = await fetch(`${api.url}/api/records`, { method: 'POST', headers, ...options });
      expect(response.status).toBe(413);
      expect(await response.json()).toMatchObject({ code: 'body_too_large', errors: [{ pointer: '' }] });
    }
  });

  test.each([
    ['POST', '/api/records', 'text/plain'],
    ['POST', '/api/records', 'application/merge-patch+json'],
    ['PATCH', '/api/records/1', 'application/json'],
    ['PUT', '/api/records/1', 'application/x-www-form-urlencoded'],
    ['POST', '/api/records/import', 'application/json'],
  ])('%s %s as %s: 415', async (method, path, type) => {
    const headers = { 'content-type': type, ...ifMatch('*') };
    const response = await api.call(method, path, { headers, body: record });
    expect(response.status).toBe(415);
    expect(response.headers.get('accept-patch')).toBe(
      method === 'PATCH' ? 'application/merge-patch+json' : null,
    );
    expect(await response.json()).toMatchObject({ errors: [{ pointer: 'Content-Type' }] });
  });

  test('one that is compressed: 415', async () => {
    const response = await api.call('POST', '/api/records', {
      headers: { 'content-encoding': 'gzip' },
      body: record,
    });
    expect(response.status).toBe(415);
  });
});

test.each(['0', '01', '-1', '1.5', '9007199254740993', '99999999999999999999', 'abc', '1%20', 'null'])(
  'the id %s is that of no record: 404',
  async (id) => {
    for (const path of [`/api/records/${id}`, `/api/records/${id}/history`])
      expect((await api.call('GET', path)).status).toBe(404);
  },
);

test.each([
  ['POST', '/api/records'],
  ['POST', '/api/records/import'],
  ['GET', '/api/records/1'],
  ['PUT', '/api/records/1'],
  ['PATCH', '/api/records/1'],
  ['DELETE', '/api/records/1'],
])('%s %s takes no parameters: 400', async (method, path) => {
  const response = await api.call(method, `${path}?dryRun=true`, { headers: ifMatch('*') });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    errors: [{ pointer: 'dryRun', detail: 'is no parameter here' }],
  });
});

describe('Idempotency-Key', () => {
  const create = (key: string, body: unknown = record): Promise<Response> =>
    api.call('POST', '/api/records', { headers: { 'idempotency-key': key }, body });

  test('the same request gets the same answer', async () => {
    const first = await create('"same"');
    const again = await create('"same"');
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    for (const name of ['location', 'etag']) expect(again.headers.get(name)).toBe(first.headers.get(name));
    expect(await again.text()).toBe(await first.text());
  });

  test('another body: 422', async () => {
    await create('other');
    const response = await create('other', { ...record, name: 'different' });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      code: 'idempotency_key_reused',
      errors: [{ pointer: 'Idempotency-Key' }],
    });
  });

  test.each(['with space', 'x'.repeat(256)])('%j is none: 400', async (key) => {
    expect((await create(key)).status).toBe(400);
  });
});

describe('export and import', () => {
  const lines = async (response: Response): Promise<Json[]> =>
    (await response.text())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Json);
  const importLines = (body: string, headers: Record<string, string> = {}): Promise<Response> =>
    api.call('POST', '/api/records/import', {
      headers: { 'content-type': 'application/x-ndjson', ...headers },
      body,
    });
  const many = (name: string, count: number): string =>
    Array.from({ length: count }, (_, index) => JSON.stringify({ ...record, name: `${name} ${index}` })).join(
      '\n',
    );

  test('an import makes a record of each line, and an export gives them back', async () => {
    const before = await lines(await api.call('GET', '/api/records/export'));
    const response = await importLines(`${many('bulk', 2_500)}\r\n\n`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ imported: 2_500 });
    const exported = await api.call('GET', '/api/records/export');
    expect(exported.headers.get('content-type')).toBe('application/x-ndjson');
    const all = await lines(exported);
    expect(all).toHaveLength(before.length + 2_500);
    expect(all.at(-1)).toEqual({ id: expect.any(Number), ...inUtc, name: 'bulk 2499' });
    const again = await importLines(all.map((line) => JSON.stringify(line)).join('\n'));
    expect(await again.json()).toEqual({ imported: all.length });
  });

  test('an export goes on from any of its checkpoints', async () => {
    const all = await lines(await api.call('GET', '/api/records/export?from=2026-05-01'));
    const marked = await lines(await api.call('GET', '/api/records/export?from=2026-05-01&checkpoints=true'));
    const at = marked.findIndex((line) => 'cursor' in line);
    expect(at).toBe(1_000);
    const cursor = encodeURIComponent(String(marked[at]?.['cursor']));
    const rest = await lines(await api.call('GET', `/api/records/export?from=2026-05-01&cursor=${cursor}`));
    expect(rest).toEqual(all.slice(1_000));
    expect(marked.at(-1)).toHaveProperty('cursor');
    expect(marked.filter((line) => !('cursor' in line))).toEqual(all);
  });

  test('each wrong line is named, and nothing is imported', async () => {
    const good = JSON.stringify({ ...record, name: 'all or nothing' });
    const bad = [good, '{"name": "x"', '', JSON.stringify({ ...record, date: 'x', colour: 1 }), good, '[]'];
    const response = await importLines(bad.join('\n'));
    expect(response.status).toBe(422);
    const { errors } = (await response.json()) as { errors: { line: number; pointer: string }[] };
    expect(errors.map(({ line, pointer }) => [line, pointer])).toEqual([
      [2, ''],
      [4, '/date'],
      [4, '/colour'],
      [6, ''],
    ]);
    const found = await api.call('GET', '/api/records?name=all+or+nothing');
    expect(await found.json()).toEqual([]);
  });

  test('at most 100 wrong places are named, and a line that is too long is one', async () => {
    const response = await importLines(`${'x'.repeat(70_000)}\n${'{}\n'.repeat(500)}`);
    expect(response.status).toBe(422);
    const { errors } = (await response.json()) as { errors: { detail: string }[] };
    expect(errors).toHaveLength(100);
    expect(errors[0]).toMatchObject({ line: 1, detail: expect.stringContaining('64 KiB') });
  });

  test('under an Idempotency-Key it happens once', async () => {
    const headers = { 'idempotency-key': 'import-1' };
    const first = await importLines(many('keyed', 3), headers);
    const again = await importLines(many('keyed', 3), headers);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(await again.json()).toEqual(await first.json());
    expect((await importLines(many('keyed', 4), headers)).status).toBe(422);
    expect(await (await api.call('GET', '/api/records?name=keyed+0')).json()).toHaveLength(1);
  });

  test('one that breaks off imports nothing and is no error of the service; a third at a time waits', async () => {
    const { port } = new URL(api.url);
    const open = (requestId: string): ReturnType<typeof connect> => {
      const socket = connect(Number(port), '127.0.0.1');
      socket.write(
        `POST /api/records/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.token()}\r\nX-Request-Id: ${requestId}\r\n` +
          'Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n',
      );
      const line = `${JSON.stringify({ ...record, name: 'broken off' })}\n`;
      socket.write(`${Buffer.byteLength(line).toString(16)}\r\n${line}\r\n`);
      return socket;
    };
    const logged = async (requestId: string): Promise<Json> => {
      for (;;) {
        const line = api.log.find((line) => line.includes(requestId) && line.includes('duration_ms'));
        if (line !== undefined) return JSON.parse(line) as Json;
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    };
    const sockets = [open('broken-off-1'), open('broken-off-2')];
    let third = await importLines('');
    while (third.status !== 503) third = await importLines('');
    expect(third.headers.get('retry-after')).toBe('5');
    expect(await third.json()).toMatchObject({ code: 'busy' });
    for (const socket of sockets) socket.destroy();
    expect(await logged('broken-off-1')).toMatchObject({ level: 'info', aborted: true });
    await logged('broken-off-2');
    expect(await (await api.call('GET', '/api/records?name=broken+off')).json()).toEqual([]);
    expect((await importLines('')).status).toBe(200);
  });
});

test('a database that lacks the last migration is not ready, and says so in the log', async () => {
  await using unmigrated = await startTestApi();
  await unmigrated.database.writes.deleteFrom('kysely_migration' as never).execute();
  const response = await fetch(`${unmigrated.url}/readyz`);
  expect(response.status).toBe(503);
  expect(await response.json()).toEqual({ status: 'not ready', failed: ['store'] });
  expect(unmigrated.log.join('')).toContain('run \\"npm run migrate\\"');
});

describe('roles', () => {
  const reads = ['/api/records', '/api/records/1', '/api/records/1/history', '/api/records/export'];
  const writes = [
    ['POST', '/api/records'],
    ['POST', '/api/records/import'],
    ['PUT', '/api/records/1'],
    ['PATCH', '/api/records/1'],
    ['DELETE', '/api/records/1'],
  ] as const;

  test.each(reads)('GET %s takes the role to read', async (path) => {
    expect((await api.call('GET', path, { roles: ['access_as_application_API1'] })).status).toBe(200);
    const refused = await api.call('GET', path, { roles: ['write_as_application_API1'] });
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ requiredRoles: ['access_as_application_API1'] });
    expect((await fetch(api.url + path)).status).toBe(401);
  });

  test.each(reads)('GET %s takes it in any letter case', async (path) => {
    const spellings = [path.toUpperCase(), path.replace('api', 'Api'), path.replace('records', 'recordS')];
    const statuses = spellings.map(async (spelling) => (await fetch(api.url + spelling)).status);
    expect(await Promise.all(statuses)).toEqual([401, 401, 401]);
  });

  test.each(writes)('%s %s takes the role to write', async (method, path) => {
    const refused = await api.call(method, path, { roles: ['access_as_application_API1'] });
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ requiredRoles: ['write_as_application_API1'] });
    expect((await fetch(api.url + path, { method })).status).toBe(401);
    expect((await fetch(api.url + path.toUpperCase(), { method })).status).toBe(401);
    const allowed = await api.call(method, path, { roles: ['write_as_application_API1'] });
    expect([415, 428]).toContain(allowed.status);
  });
});
