import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ForgeInput, type LocalEntra, startLocalEntra } from '@countersign/local-entra';
import { localApplications, localTenantId } from '../src/local-system.ts';
import { runCommand } from './run-command.ts';

let entra: LocalEntra;
let folder = '';
beforeAll(async () => {
  entra = await startLocalEntra();
  folder = await mkdtemp(join(tmpdir(), 'explain-'));
  await writeFile(join(folder, 'ca.pem'), entra.ca);
});
afterAll(async () => {
  await entra.close();
  await rm(folder, { recursive: true });
});

const good: ForgeInput = {
  client: localApplications.api2,
  resource: localApplications.api1,
  roles: ['access_as_application_API1'],
};
const configured = (): string[] => [
  ...['--authority', entra.origin, '--tenant', localTenantId, '--api', localApplications.api1],
  ...['--ca-file', join(folder, 'ca.pem')],
];
const explain = (token: string, ...more: string[]) =>
  runCommand(['explain', ...configured(), ...more], { stdin: token });

describe('countersign explain', () => {
  test('a good token is accepted, by keys that are fetched', async () => {
    const { code, stdout } = await explain(await entra.forge(good), '--fetch-keys');
    expect(stdout).toContain('accepted: every check passes');
    expect(stdout).toContain('client id of the application that calls');
    expect(code).toBe(0);
  });

  test('without keys the signature is left open, and nothing is asked of anybody', async () => {
    const before = entra.requests.list().length;
    const { code, stdout } = await explain(await entra.forge(good));
    expect(stdout).toMatch(/nothing is wrong/);
    expect(stdout).toContain('No keys were given to verify it with.');
    expect(code).toBe(0);
    expect(entra.requests.list()).toHaveLength(before);
  });

  test('the keys are fetched without the token', async () => {
    await explain(await entra.forge(good), '--fetch-keys');
    expect(entra.requests.list().map(({ path }) => path)).toEqual(
      expect.arrayContaining([`/${localTenantId}/discovery/v2.0/keys`]),
    );
  });

  test.each<[string, ForgeInput, string]>([
    ['no role', { ...good, roles: [] }, 'refused (403): policy'],
    ['another role', { ...good, roles: ['other'] }, 'other roles than the one required'],
    ['another audience', { ...good, claims: { aud: localApplications.api3 } }, 'refused (401): audience'],
    [
      'a token for Graph',
      { ...good, claims: { aud: '00000003-0000-0000-c000-000000000000' } },
      'for Microsoft Graph',
    ],
    ['another tenant', { ...good, claims: { tid: localApplications.api3 } }, 'refused (401): tenant'],
    ['a v1 token', { ...good, version: 1 }, 'no requestedAccessTokenVersion 2'],
    ['an expired one', { ...good, lifetimeSeconds: -3600 }, 'refused (401): expired'],
    ['a delegated one', { ...good, claims: { scp: 'read' } }, 'acts for a user'],
    ['a symmetric signature', { ...good, key: 'public-as-hmac' }, 'refused (401): algorithm'],
    ['a spoilt signature', { ...good, corruptSignature: true }, 'refused (401): signature'],
    ['no signature', { ...good, key: 'none' }, 'refused (401): structure'],
  ])('%s: refused, with the cause', async (_, forged, cause) => {
    const { code, stdout } = await explain(await entra.forge(forged), '--fetch-keys');
    expect(stdout).toContain(cause);
    expect(code).toBe(1);
  });

  test.each<[string, (token: string) => string]>([
    ['a header', (token) => `Authorization: Bearer ${token}\n`],
    [
      'the answer of a token endpoint',
      (token) => JSON.stringify({ token_type: 'Bearer', access_token: token }),
    ],
    ['wrapped lines', (token) => token.replaceAll(/(.{70})/g, '$1\n')],
    ['quotes', (token) => `"${token}"`],
  ])('takes %s', async (_, wrap) => {
    const { stdout } = await explain(wrap(await entra.forge(good)), '--fetch-keys');
    expect(stdout).toContain('accepted');
  });

  test('JSON holds checks, claims and their meanings', async () => {
    const { stdout } = await explain(await entra.forge({ ...good, roles: [] }), '--fetch-keys', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: 'refused',
      claims: { azp: localApplications.api2 },
      meanings: { azp: 'client id of the application that calls' },
      checks: expect.arrayContaining([expect.objectContaining({ check: 'policy', verdict: 'failed' })]),
    });
  });

  test('what nobody said is not compared', async () => {
    const token = await entra.forge(good);
    const { code, stdout } = await runCommand(['explain', token, '--data', folder]);
    expect(stdout).toContain('Nobody said what to compare it with: give --api.');
    expect(code).toBe(0);
  });

  test('claims cannot move the cursor of a terminal', async () => {
    const token = await entra.forge({ ...good, claims: { note: '\u001B[2J\u009Bhidden' } });
    const { stdout } = await explain(token);
    expect(['\u001B', '\u009B'].filter((control) => stdout.includes(control))).toEqual([]);
  });

  test.each<[string, string[], string, string]>([
    ['no token', [], '', 'No token was given'],
    ['an unknown option', ['--fetchkeys'], 'x', 'Did you mean --fetch-keys?'],
    ['a tenant that is none', ['--tenant', 'x'], 'a.b.c', 'tenantId must be a GUID'],
    ['an authority that is none', ['--authority', 'http://x'], 'a.b.c', 'must be an https origin'],
    ['keys that are none', ['--keys', 'package.json'], 'a.b.c', 'package.json holds no keys'],
    ['a file that is not there', ['--keys', '/nowhere'], 'a.b.c', 'cannot be read (ENOENT)'],
  ])('%s: a sentence, and 64', async (_, options, stdin, sentence) => {
    const { code, stderr } = await explain(stdin, ...options);
    expect(stderr).toContain(sentence);
    expect(stderr).not.toContain('    at ');
    expect(code).toBe(64);
  });

  test.each(['', '.', '..', '...', 'a.b.c', 'eyJ.eyJ.eyJ', '{"a":1}', '\u0000', 'x'.repeat(100_000)])(
    'any text is no crash: %#',
    async (text) => {
      const { code, stderr } = await explain(text);
      expect([1, 64]).toContain(code);
      expect(stderr).not.toContain('    at ');
    },
  );
});
