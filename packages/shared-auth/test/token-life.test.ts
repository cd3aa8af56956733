import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import {
  createEntraNetwork,
  createSharedTokenCache,
  createTokenSource,
  type AuthObserver,
  type TokenSource,
  type TokenSourceOptions,
  type TokenStore,
} from '../src/index.ts';
import {
  apiClientId,
  callerClientId,
  clientSecret,
  startTestIssuer,
  tenantId,
  type TestIssuer,
} from './test-issuer.ts';

const scope = `api://${apiClientId}/.default`;
const minute = 60_000;

let issuer: TestIssuer;
let now: number;
let events: string[];

beforeEach(async () => {
  issuer = await startTestIssuer();
  now = Date.now();
  events = [];
});

afterEach(() => issuer.close());

const observer: AuthObserver = {
  tokenAcquired: ({ reason, outcome, fromSharedCache }) =>
    events.push(`${reason} ${outcome}${fromSharedCache ? ' shared' : ''}`),
  sharedCacheChanged: ({ isWorking }) => events.push(isWorking ? 'cache works' : 'cache fails'),
};

const createSource = (change: Partial<TokenSourceOptions> = {}): TokenSource =>
  createTokenSource({
    authorityHost: issuer.origin,
    tenantId,
    clientId: callerClientId,
    credential: { clientSecret },
    network: createEntraNetwork({ ca: issuer.ca, timeoutMs: 1500 }),
    observer,
    clock: () => now,
    random: () => 0,
    ...change,
  });

/** Waits for what runs in the background. */
const until = async (isDone: () => boolean): Promise<void> => {
  while (!isDone()) await new Promise((resolve) => setImmediate(resolve));
};
const refreshes = (): number => events.filter((event) => event.startsWith('refresh')).length;

test('a refused token is replaced once for all who hold it, and then not for a minute', async () => {
  const source = createSource();
  const { accessToken: refused } = await source.getToken({ scope });
  const replaced = await Promise.all(Array.from({ length: 10 }, () => source.getToken({ scope, refused })));
  const [first] = replaced;
  expect(first?.accessToken).not.toBe(refused);
  expect(new Set(replaced.map(({ accessToken }) => accessToken))).toContain(first?.accessToken);
  expect(issuer.tokenRequests).toHaveLength(2);
  const again = await source.getToken({ scope, refused: first?.accessToken ?? '' });
  expect(again.accessToken).toBe(first?.accessToken);
  now += minute;
  const later = await source.getToken({ scope, refused: first?.accessToken ?? '' });
  expect(later.accessToken).not.toBe(first?.accessToken);
  expect(events).toEqual(['cold ok', 'replacement ok', 'replacement ok']);
});

test('a claims challenge is answered once, and its token serves from then on', async () => {
  const source = createSource();
  const { accessToken: plain } = await source.getToken({ scope });
  const claims = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}';
  const answers = await Promise.all([source.getToken({ scope, claims }), source.getToken({ scope, claims })]);
  expect(new Set(answers.map(({ accessToken }) => accessToken)).size).toBe(1);
  expect(answers[0]?.accessToken).not.toBe(plain);
  await source.getToken({ scope, claims });
  expect((await source.getToken({ scope })).accessToken).toBe(answers[0]?.accessToken);
  expect(issuer.tokenRequests).toHaveLength(2);
  expect(issuer.tokenRequests[1]?.form.get('claims')).toContain('nbf');
});

test('that claims challenges are understood is said where it is so', async () => {
  await createSource().getToken({ scope });
  expect(issuer.tokenRequests[0]?.form.get('claims')).toBeNull();
  await createSource({ takesClaimsChallenges: true }).getToken({ scope });
  expect(JSON.parse(issuer.tokenRequests[1]?.form.get('claims') ?? '')).toMatchObject({
    access_token: { xms_cc: { values: ['cp1'] } },
  });
});

test('tokens are refreshed in the background by one request, spread over the processes', async () => {
  const source = createSource();
  const late = createSource({ random: () => 1 });
  const { accessToken } = await source.getToken({ scope });
  await late.getToken({ scope });
  now += 51 * minute;
  await Promise.all(Array.from({ length: 10 }, () => late.getToken({ scope })));
  await source.getToken({ scope });
  await until(() => refreshes() > 0);
  expect([refreshes(), issuer.tokenRequests.length]).toEqual([1, 3]);
  now += 4 * minute + 2000;
  expect((await source.getToken({ scope })).accessToken).toBe(accessToken);
  await until(() => refreshes() > 1);
  expect((await source.getToken({ scope })).accessToken).not.toBe(accessToken);
});

test('an outage over the whole refresh window is not seen by callers', async () => {
  const source = createSource();
  await source.getToken({ scope });
  issuer.tokenReply = () => 'hang';
  now += 55 * minute;
  for (let second = 0; second < 290; second += 10) {
    now += 10_000;
    expect((await source.getToken({ scope })).fromCache).toBe(true);
  }
  issuer.tokenReply = undefined;
});

test('a token of a minute is held for its minute', async () => {
  const source = createSource();
  issuer.tokenReply = () => ({
    body: JSON.stringify({
      token_type: 'Bearer',
      expires_in: 60,
      access_token: `short-${issuer.tokenRequests.length}`,
    }),
  });
  await source.getToken({ scope });
  now += 40_000;
  expect((await source.getToken({ scope })).accessToken).toBe('short-1');
  now += 21_000;
  expect((await source.getToken({ scope })).accessToken).toBe('short-2');
});

test('no more tokens are held than allowed', async () => {
  const source = createSource({ maxTokens: 3 });
  for (const name of ['a', 'b', 'c', 'd']) await source.getToken({ scope: `api://${name}/.default` });
  expect(source.stats()).toMatchObject({ tokens: 3, acquisitions: 4, hits: 0 });
  now += 2 * 60 * minute;
  await source.getToken({ scope: 'api://e/.default' });
  expect(source.stats().tokens).toBe(1);
});

const createMemoryStore = (): TokenStore & { values: Map<string, string>; reply?: 'fail' | 'hang' } => {
  const values = new Map<string, string>();
  const store = {
    values,
    async get(key: string) {
      await store.misbehave();
      return values.get(key) ?? null;
    },
    async set(key: string, value: string) {
      await store.misbehave();
      values.set(key, value);
    },
    reply: undefined as 'fail' | 'hang' | undefined,
    misbehave: async () => {
      if (store.reply === 'fail') throw new Error('ECONNREFUSED');
      if (store.reply === 'hang') await new Promise(() => {});
    },
  };
  return store as ReturnType<typeof createMemoryStore>;
};

const key = (id: string) => ({ id, key: randomBytes(32) });

test('a second process takes the token of the first from the shared cache, encrypted', async () => {
  const store = createMemoryStore();
  const keys = [key('k1')];
  const shared = () => createSharedTokenCache({ store, keys, clock: () => now, observer });
  const { accessToken } = await createSource({ sharedCache: shared() }).getToken({ scope });
  const second = await createSource({ sharedCache: shared() }).getToken({ scope });
  expect(second).toMatchObject({ accessToken, fromCache: true });
  expect(issuer.tokenRequests).toHaveLength(1);
  expect([...store.values.keys()].join()).toMatch(
    new RegExp(`^countersign:token:${tenantId}:${callerClientId}:`),
  );
  expect([...store.values.values()].join()).not.toContain(accessToken);
  expect(events).toEqual(['cold ok', 'cold ok shared']);
});

test('each resource has a partition of its own', async () => {
  const store = createMemoryStore();
  const source = createSource({ sharedCache: createSharedTokenCache({ store, keys: [key('k')] }) });
  await source.getToken({ scope });
  await source.getToken({ scope: 'api://other/.default' });
  const sizes = [...store.values.values()].map(({ length }) => length);
  expect(sizes).toHaveLength(2);
  expect(Math.abs((sizes[0] ?? 0) - (sizes[1] ?? 0))).toBeLessThan(200);
});

test('of two processes one refreshes, and the other takes its token', async () => {
  const store = createMemoryStore();
  const keys = [key('k1')];
  const sharedCache = createSharedTokenCache({ store, keys, clock: () => now });
  const first = createSource({ sharedCache, random: () => 1 });
  const second = createSource({ sharedCache, random: () => 0.9 });
  await first.getToken({ scope });
  await second.getToken({ scope });
  now += 51 * minute;
  await first.getToken({ scope });
  await until(() => refreshes() === 1);
  await second.getToken({ scope });
  await until(() => refreshes() === 2);
  expect(issuer.tokenRequests).toHaveLength(2);
  expect((await second.getToken({ scope })).accessToken).toBe((await first.getToken({ scope })).accessToken);
});

test('keys rotate: a new key in front, the old one still opens; an unknown one is a miss', async () => {
  const store = createMemoryStore();
  const [old, young] = [key('old'), key('young')];
  const sourceWith = (keys: ReturnType<typeof key>[]) =>
    createSource({ sharedCache: createSharedTokenCache({ store, keys, clock: () => now }) });
  await sourceWith([old]).getToken({ scope });
  expect((await sourceWith([young, old]).getToken({ scope })).fromCache).toBe(true);
  expect((await sourceWith([young]).getToken({ scope })).fromCache).toBe(false);
  expect((await sourceWith([young, old]).getToken({ scope })).fromCache).toBe(true);
});

test('a value that was moved or changed is a miss', async () => {
  const store = createMemoryStore();
  const sharedCache = createSharedTokenCache({ store, keys: [key('k')], clock: () => now });
  await createSource({ sharedCache }).getToken({ scope });
  await createSource({ sharedCache }).getToken({ scope: 'api://other/.default' });
  const [a, b] = [...store.values.keys()] as [string, string];
  const [first, second] = [...store.values.values()] as [string, string];
  store.values.set(a, second);
  store.values.set(b, `${first.slice(0, -2)}AA`);
  expect((await createSource({ sharedCache }).getToken({ scope })).fromCache).toBe(false);
});

test.each(['fail', 'hang'] as const)('a store that %ss fails no call, and is told once', async (reply) => {
  const store = createMemoryStore();
  const sharedCache = createSharedTokenCache({
    store,
    keys: [key('k')],
    timeoutMs: 50,
    clock: () => now,
    observer,
  });
  const source = createSource({ sharedCache });
  store.reply = reply;
  await source.getToken({ scope });
  await source.getToken({ scope: 'api://b/.default' });
  now += 6000;
  await source.getToken({ scope: 'api://c/.default' });
  delete store.reply;
  now += 6000;
  await source.getToken({ scope: 'api://d/.default' });
  expect(events.filter((event) => event.startsWith('cache'))).toEqual(['cache fails', 'cache works']);
  expect(sharedCache.stats()).toMatchObject({ isWorking: true, failures: 2 });
});

test('keys that cannot be meant are refused at once', () => {
  const store = createMemoryStore();
  expect(() => createSharedTokenCache({ store, keys: [] })).toThrow('at least one key');
  expect(() => createSharedTokenCache({ store, keys: [{ id: 'k', key: randomBytes(16) }] })).toThrow(
    '32 bytes',
  );
  expect(() => createSharedTokenCache({ store, keys: [{ id: 'a.b', key: randomBytes(32) }] })).toThrow(
    'letters',
  );
  expect(() => createSharedTokenCache({ store, keys: [key('k'), key('k')] })).toThrow('same id');
});

const tokenNamed = (name: string) => ({
  body: JSON.stringify({ token_type: 'Bearer', expires_in: 3599, access_token: name }),
});

test('claims that alternate are asked for once each, and many only eight times a minute', async () => {
  const source = createSource();
  await source.getToken({ scope });
  const claimsOf = (text: string | number): string => `{"access_token":{"nbf":{"value":"${text}"}}}`;
  const first = await source.getToken({ scope, claims: claimsOf('a') });
  for (let round = 0; round < 20; round += 1) {
    await source.getToken({ scope, claims: claimsOf('b') });
    const again = await source.getToken({ scope, claims: claimsOf('a') });
    expect(again.accessToken).toBe(first.accessToken);
  }
  expect(issuer.tokenRequests).toHaveLength(3);
  for (let text = 0; text < 50; text += 1) await source.getToken({ scope, claims: claimsOf(text) });
  expect(issuer.tokenRequests).toHaveLength(9);
  now += minute;
  for (let text = 100; text < 150; text += 1) await source.getToken({ scope, claims: claimsOf(text) });
  expect(issuer.tokenRequests).toHaveLength(17);
});

test('claims that Entra refuses cost nobody else a token, and are not asked for again for a minute', async () => {
  const source = createSource();
  issuer.tokenReply = (form) =>
    form.get('claims') === null ? tokenNamed('plain') : { status: 503, body: '{}' };
  const claims = '{"access_token":{"nbf":{"essential":true}}}';
  for (let call = 0; call < 5; call += 1) {
    await expect(source.getToken({ scope, claims })).rejects.toMatchObject({ status: 503 });
    now += 5000;
  }
  expect(issuer.tokenRequests).toHaveLength(1);
  expect((await source.getToken({ scope })).accessToken).toBe('plain');
  now += 51 * minute;
  await expect(source.getToken({ scope, claims })).rejects.toMatchObject({ status: 503 });
  now += 5 * minute;
  await source.getToken({ scope });
  await until(() => refreshes() > 0);
  expect(events.at(-1)).toBe('refresh ok');
});

test('a refresh that fails is tried every half minute, and as late as Retry-After says', async () => {
  const source = createSource();
  await source.getToken({ scope });
  issuer.tokenReply = () => ({ status: 503, body: '{}' });
  now += 55 * minute + 1000;
  for (let second = 0; second < 60; second += 1) {
    const before = refreshes();
    await source.getToken({ scope });
    if (second % 30 === 0) await until(() => refreshes() > before);
    now += 1000;
  }
  expect(refreshes()).toBe(2);
  issuer.tokenReply = () => ({ status: 429, headers: { 'retry-after': '90' }, body: '{}' });
  await source.getToken({ scope });
  await until(() => refreshes() === 3);
  now += 89_000;
  await source.getToken({ scope });
  expect(issuer.tokenRequests).toHaveLength(4);
  now += 1000;
  await source.getToken({ scope });
  await until(() => refreshes() === 4);
});

test('without a token Entra is asked once a second in an outage', async () => {
  const source = createSource();
  issuer.tokenReply = () => ({ status: 503, body: '{}' });
  for (let call = 0; call < 20; call += 1) {
    await expect(source.getToken({ scope })).rejects.toMatchObject({ status: 503 });
    now += 100;
  }
  expect(issuer.tokenRequests).toHaveLength(2);
});

test('a clock that is set back prolongs no pause', async () => {
  const source = createSource();
  issuer.tokenReply = () => ({ status: 503, body: '{}' });
  await expect(source.getToken({ scope })).rejects.toMatchObject({ status: 503 });
  issuer.tokenReply = undefined;
  now -= 60 * minute;
  await source.getToken({ scope });
});

test('no server is believed when it asks to be left alone for longer than five minutes', async () => {
  issuer.tokenReply = () => ({ status: 429, headers: { 'retry-after': '86400' }, body: '{}' });
  await expect(createSource().getToken({ scope })).rejects.toMatchObject({
    headers: { 'Retry-After': '300' },
  });
});

test.each<[string, number, Record<string, unknown>]>([
  ['201', 201, { access_token: 'a', expires_in: 3599 }],
  ['no token', 200, { expires_in: 3599 }],
  ['a token that is no text', 200, { access_token: { a: 1 }, expires_in: 3599 }],
  ['a token with a line break', 200, { access_token: 'a\r\nb', expires_in: 3599 }],
  ['no life', 200, { access_token: 'a' }],
  ['a life of nothing', 200, { access_token: 'a', expires_in: 0 }],
  ['an endless life', 200, { access_token: 'a', expires_in: 1e9 }],
  ['a life in words', 200, { access_token: 'a', expires_in: 'soon' }],
  ['a refusal without a reason', 400, { message: 'no' }],
])('an answer with %s is none', async (_, status, body) => {
  issuer.tokenReply = () => ({ status, body: JSON.stringify({ token_type: 'Bearer', ...body }) });
  const source = createSource();
  await expect(source.getToken({ scope })).rejects.toMatchObject({ name: 'IdentityUnavailableError' });
  issuer.tokenReply = undefined;
  now += 1000;
  await source.getToken({ scope });
});

test('what Entra says about a refusal goes to the log within bounds', async () => {
  const body = {
    error: 'A'.repeat(5000),
    error_description: 'AADSTS70021: x',
    correlation_id: 'x'.repeat(5000),
  };
  issuer.tokenReply = () => ({ status: 400, body: JSON.stringify(body) });
  await expect(createSource().getToken({ scope })).rejects.toMatchObject({
    refusal: { error: 'unknown_error', correlationId: expect.stringMatching(/^[0-9a-f-]{36}$/) },
  });
});

test('after its end a token of another process is taken from the shared cache', async () => {
  const store = createMemoryStore();
  const sharedCache = createSharedTokenCache({ store, keys: [key('k')], clock: () => now });
  const short = (name: string) => () => ({
    body: JSON.stringify({
      token_type: 'Bearer',
      expires_in: name === 'one' ? 400 : 3599,
      access_token: name,
    }),
  });
  issuer.tokenReply = short('one');
  const source = createSource({ sharedCache });
  await source.getToken({ scope });
  issuer.tokenReply = short('two');
  const other = createSource({ sharedCache });
  await other.getToken({ scope, claims: '{"a":1}' });
  now += 401_000;
  expect(await source.getToken({ scope })).toMatchObject({ accessToken: 'two', fromCache: true });
});

test('a store that hands out something else than text fails no call', async () => {
  const store = { get: async () => Buffer.from('x') as never, set: async () => {} };
  const sharedCache = createSharedTokenCache({ store, keys: [key('k')] });
  expect((await createSource({ sharedCache }).getToken({ scope })).fromCache).toBe(false);
});

test.each([0, -1, Number.NaN, Infinity])('maxTokens cannot be %d', (maxTokens) => {
  expect(() => createSource({ maxTokens })).toThrow('maxTokens must be');
});

test('headers of a caller replace none of the library, and name its request alone', async () => {
  const headers = { 'content-type': 'text/plain', cookie: 'a=b', traceparent: 'a\nb', tracestate: 'a=b' };
  await createSource().getToken({ scope, headers });
  const [asked] = issuer.tokenRequests;
  expect(asked?.headers['content-type']).toMatch(/^application\/x-www-form-urlencoded/);
  expect(asked?.headers).toMatchObject({ tracestate: 'a=b' });
  expect(asked?.headers).not.toHaveProperty('cookie');
  expect(asked?.headers).not.toHaveProperty('traceparent');
});
