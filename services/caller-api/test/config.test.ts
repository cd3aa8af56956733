import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parseCallerConfig } from '../src/config.ts';

const key = Buffer.alloc(32, 1).toString('base64');
let folder: string;
let env: Record<string, string>;

const write = async (name: string, text: string): Promise<string> => {
  await writeFile(join(folder, name), text);
  return join(folder, name);
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'caller-config-'));
  env = {
    ACCESS_MODE: 'anonymous',
    AZURE_AUTHORITY_HOST: 'https://login.microsoftonline.com',
    AZURE_TENANT_ID: '11111111-1111-4111-8111-111111111111',
    AZURE_CLIENT_ID: '33333333-3333-4333-8333-333333333333',
    AZURE_CLIENT_SECRET_FILE: await write('secret', 'secret'),
    RECORDS_API_URL: 'http://records-api:8081',
    RECORDS_API_SCOPE: 'api://records/.default',
  };
});

afterAll(() => rm(folder, { recursive: true }));

test('keys of the token cache: the first of the file is the first', async () => {
  const TOKEN_CACHE_KEY_FILE = await write('keys', `new-1:${key}\nold_0:${key}\n`);
  const config = parseCallerConfig({ ...env, TOKEN_CACHE_URL: 'redis://valkey:6379', TOKEN_CACHE_KEY_FILE });
  expect(config.TOKEN_CACHE_KEY_FILE?.map(({ id }) => id)).toEqual(['new-1', 'old_0']);
  expect(config.TOKEN_CACHE_KEY_FILE?.[0]?.key).toHaveLength(32);
});

test.each<[string, Record<string, string>, RegExp]>([
  ['a URL without keys', { TOKEN_CACHE_URL: 'redis://valkey' }, /TOKEN_CACHE_KEY_FILE go together/],
  ['keys without a URL', { TOKEN_CACHE_KEY_FILE: `a:${key}` }, /TOKEN_CACHE_URL and/],
  ['a password without a URL', { TOKEN_CACHE_PASSWORD_FILE: 'x' }, /needs TOKEN_CACHE_URL/],
  [
    'a password in the URL',
    { TOKEN_CACHE_URL: 'redis://:x@valkey' },
    /TOKEN_CACHE_URL must not hold a password/,
  ],
  ['another protocol', { TOKEN_CACHE_URL: 'http://valkey' }, /TOKEN_CACHE_URL must be a redis: URL/],
  [
    'a key that is too short',
    { TOKEN_CACHE_KEY_FILE: 'a:AAAA' },
    /TOKEN_CACHE_KEY_FILE names a file whose lines/,
  ],
  ['a key without a name', { TOKEN_CACHE_KEY_FILE: key }, /TOKEN_CACHE_KEY_FILE names a file whose lines/],
  ['one name twice', { TOKEN_CACHE_KEY_FILE: `a:${key}\na:${key}` }, /each name once/],
])('%s is refused', async (_, changes, message) => {
  const files = Object.entries(changes).map(async ([name, value]) => [
    name,
    name.endsWith('_FILE') ? await write(name, value) : value,
  ]);
  const changed = Object.fromEntries(await Promise.all(files)) as Record<string, string>;
  expect(() => parseCallerConfig({ ...env, ...changed })).toThrow(message);
});
