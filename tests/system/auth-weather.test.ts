/** What shared-auth does while Entra misbehaves. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import {
  createEntraNetwork,
  createTokenSource,
  createTokenVerifier,
  type TokenSource,
  type TokenVerifier,
} from '@countersign/shared-auth';

const tenantId = '10ca10ca-0000-4000-8000-10ca10ca10ca';
const api1 = 'a9100001-0000-4000-8000-000000000001';
const api2 = 'a9100002-0000-4000-8000-000000000002';
const scope = `api://${api1}/.default`;
const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

let entra: LocalEntra;
let now: number;
let source: TokenSource;
let verifier: TokenVerifier;

beforeEach(async () => {
  now = Date.now();
  const clock = (): number => now;
  entra = await startLocalEntra({ clock });
  const common = {
    authorityHost: entra.origin,
    tenantId,
    clock,
    network: createEntraNetwork({ ca: entra.ca, timeoutMs: 1500 }),
  };
  const clientSecret = entra.secrets['api2'] ?? '';
  source = createTokenSource({ ...common, clientId: api2, credential: { clientSecret }, random: () => 0 });
  verifier = createTokenVerifier({ ...common, clientId: api1 });
});

afterEach(() => entra.close());

const tokenRequests = (): number =>
  entra.requests.list().filter(({ path }) => path.endsWith('/token')).length;

/** A token that was just issued, whatever the source holds. */
const issue = (lifetimeSeconds = 3600): Promise<string> =>
  entra.forge({ client: api2, resource: api1, roles: ['access_as_application_API1'], lifetimeSeconds });

describe('the token endpoint', () => {
  test('down for the whole refresh window: no caller sees it', async () => {
    const { accessToken, expiresAt } = await source.getToken({ scope });
    entra.faults.add({ endpoint: 'token', status: 503 });
    now = expiresAt.getTime() - 10 * minute;
    while (now < expiresAt.getTime() - second) {
      expect((await source.getToken({ scope })).accessToken).toBe(accessToken);
      await verifier.verify(accessToken);
      now += 10 * second;
    }
    now = expiresAt.getTime();
    await expect(source.getToken({ scope })).rejects.toMatchObject({
      status: 503,
      code: 'identity_unavailable',
    });
    entra.faults.clear();
    now += second;
    expect((await source.getToken({ scope })).fromCache).toBe(false);
  });

  test('429 with Retry-After: asked once, and again when it said so', async () => {
    entra.faults.add({ endpoint: 'token', status: 429, retryAfterSeconds: 20 });
    await expect(source.getToken({ scope })).rejects.toMatchObject({ headers: { 'Retry-After': '20' } });
    entra.faults.clear();
    const asked = tokenRequests();
    for (let elapsed = 0; elapsed < 19; elapsed += 1) {
      now += second;
      await expect(source.getToken({ scope })).rejects.toMatchObject({ status: 503 });
    }
    expect(tokenRequests()).toBe(asked);
    now += second;
    await source.getToken({ scope });
  });

  test.each([
    ['hangs', { latencyMs: 600_000 }],
    ['cuts connections', { disconnect: true }],
    ['answers with the page of a proxy', { status: 502, body: 'html' as const }],
  ])('that %s: 503 with Retry-After, in time', async (_, fault) => {
    entra.faults.add({ endpoint: 'token', ...fault });
    await expect(source.getToken({ scope })).rejects.toMatchObject({
      name: 'IdentityUnavailableError',
      headers: { 'Retry-After': expect.any(String) },
    });
    entra.faults.clear();
    now += second;
    await source.getToken({ scope });
  });
});

describe('the keys address', () => {
  test.each([
    ['is down', { status: 500 }],
    ['hangs', { latencyMs: 600_000 }],
    ['answers with a page', { status: 404, body: 'html' as const }],
    ['redirects', { status: 302, body: 'empty' as const }],
  ])('that %s: known keys serve for a day, unknown is 503, and recovery is at once', async (_, fault) => {
    await verifier.verify(await issue());
    entra.faults.add({ endpoint: 'keys', ...fault });
    for (const elapsed of [2 * hour, 10 * hour, 11 * hour]) {
      now += elapsed;
      await verifier.verify(await issue());
    }
    now += 3 * hour;
    await expect(issue().then((token) => verifier.verify(token))).rejects.toMatchObject({ status: 503 });
    entra.faults.clear();
    now += minute;
    await verifier.verify(await issue());
  });

  test('down for a cold service: 503, never 401, then good', async () => {
    entra.faults.add({ endpoint: 'keys', status: 503 });
    const token = await issue();
    await expect(verifier.verify(token)).rejects.toMatchObject({
      status: 503,
      code: 'identity_unavailable',
      headers: { 'Retry-After': expect.any(String) },
    });
    entra.faults.clear();
    now += second;
    await verifier.verify(token);
  });
});

describe('keys rotate under load', () => {
  const areGood = async (tokens: readonly string[]): Promise<boolean> => {
    const principals = await Promise.all(tokens.map((token) => verifier.verify(token)));
    return principals.every(({ applicationId }) => applicationId === api2);
  };
  const load = async (): Promise<string[]> => {
    const tokens = await Promise.all(Array.from({ length: 40 }, () => issue(7200)));
    await areGood(tokens);
    return tokens;
  };

  test('gracefully: old and new tokens are good throughout', async () => {
    const old = await load();
    await entra.rotateKeys('graceful');
    await load();
    expect(await areGood(old)).toBe(true);
    await entra.rotateKeys('graceful');
    now += 5 * minute;
    await load();
  });

  test('in an emergency: new tokens are good at once, and old ones end with the next fetch', async () => {
    const [old = ''] = await load();
    await entra.rotateKeys('emergency');
    const fresh = await load();
    expect(verifier.recall(old)).toBeUndefined();
    await expect(verifier.verify(old)).rejects.toMatchObject({ status: 401, check: 'key_id' });
    expect(await areGood(fresh)).toBe(true);
  });

  test('in an emergency without new traffic: old tokens end within the hour', async () => {
    const [old = ''] = await load();
    await entra.rotateKeys('emergency');
    now += hour;
    verifier.recall(old);
    // The background fetch that this began has ended when an unknown key has been looked for.
    await issue().then((token) => verifier.verify(token));
    expect(verifier.recall(old)).toBeUndefined();
  });

  test('to a key that is not published yet: refused until it is, without a storm', async () => {
    await load();
    await entra.hideKey(600);
    const early = await issue(7200);
    const fetches = (): number => entra.requests.list().filter(({ path }) => path.endsWith('/keys')).length;
    const before = fetches();
    for (let call = 0; call < 20; call += 1) {
      await expect(verifier.verify(early)).rejects.toMatchObject({ status: 401 });
    }
    expect(fetches() - before).toBeLessThanOrEqual(1);
    now += 11 * minute;
    expect(await areGood([early])).toBe(true);
  });
});
