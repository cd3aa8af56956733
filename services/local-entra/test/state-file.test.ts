import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { createDirectory } from '../src/directory/directory.ts';
import { createStateSaver, readStateFile } from '../src/directory/state-file.ts';
import { postForm, send } from './https-client.ts';

const tenant = '10ca10ca-0000-4000-8000-10ca10ca10ca';
const provisioner = 'a91000ff-0000-4000-8000-0000000000ff';

let folder: string;
let stateFile: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'local-entra-'));
  stateFile = join(folder, 'state.json');
});
afterEach(() => rm(folder, { recursive: true }));

const start = (): Promise<LocalEntra> => startLocalEntra({ dataFolder: folder, stateFile });

const graph = async (entra: LocalEntra, method: string, path: string, body?: object) => {
  const token = await postForm(entra, `/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'client_credentials',
    client_id: provisioner,
    client_secret: entra.secrets['provisioner'] ?? '',
    scope: 'https://graph.microsoft.com/.default',
  });
  const headers = { authorization: `Bearer ${String(token.body['access_token'])}` };
  return send(entra, `/v1.0/${path}`, { method, headers }, body && JSON.stringify(body));
};

describe('a state file', () => {
  test('keeps what Graph changed, and holds no secret', async () => {
    const first = await start();
    const made = await graph(first, 'POST', 'applications', { displayName: 'Kept' });
    const id = String(made.body['id']);
    const password = await graph(first, 'POST', `applications/${id}/addPassword`, {});
    await first.close();
    const state = await readFile(stateFile, 'utf8');
    expect(state).not.toContain(password.body['secretText']);

    const second = await start();
    const kept = await graph(second, 'GET', `applications/${id}`);
    expect(kept.body).toMatchObject({
      displayName: 'Kept',
      passwordCredentials: [{ keyId: password.body['keyId'] }],
    });
    await second.close();
  });

  test('holds every change that was answered, however many come at once', async () => {
    const entra = await start();
    const names = Array.from({ length: 20 }, (_, index) => `many-${index}`);
    await Promise.all(names.map((displayName) => graph(entra, 'POST', 'applications', { displayName })));
    const state = JSON.parse(await readFile(stateFile, 'utf8')) as {
      applications: { displayName: string }[];
    };
    expect(state.applications.map(({ displayName }) => displayName)).toEqual(expect.arrayContaining(names));
    await entra.close();
  });

  test('works with secrets that were made anew', async () => {
    await (await start()).close();
    await rm(join(folder, 'secrets'), { recursive: true });
    const entra = await start();
    expect((await graph(entra, 'GET', 'applications')).status).toBe(200);
    await entra.close();
  });

  test.each([
    ['not JSON', '{', /state\.json is not JSON: delete it/],
    ['another format', '{"format":"x"}', /state\.json cannot be used: format:/],
    ['nothing', '', /state\.json is not JSON/],
  ])('that is %s is refused with a sentence', async (_, text, message) => {
    await writeFile(stateFile, text);
    await expect(start()).rejects.toThrow(message);
  });

  test('that cannot be written is found at the start', async () => {
    await expect(startLocalEntra({ stateFile: join(folder, 'missing', 'state.json') })).rejects.toThrow(
      /the file .*state\.json cannot be written \(ENOENT\)/,
    );
  });
});

test('a change that cannot be kept is taken back, and so is what waited for it', async () => {
  const directory = createDirectory();
  const tenantOf = (n: number) => ({ id: `tenant-${n}`, displayName: `${n}`, domains: [] });
  let isBroken = false;
  const save = createStateSaver(stateFile, directory, async (path, text) => {
    if (isBroken) throw new Error('no space');
    await writeFile(path, text);
  });
  directory.addTenant(tenantOf(1));
  await save();
  isBroken = true;
  directory.addTenant(tenantOf(2));
  const first = save();
  directory.addTenant(tenantOf(3));
  const results = await Promise.allSettled([first, save()]);
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect([...directory.tenants()]).toEqual([tenantOf(1)]);
  isBroken = false;
  directory.addTenant(tenantOf(4));
  await save();
  expect(await readStateFile(stateFile)).toMatchObject({ tenants: [tenantOf(1), tenantOf(4)] });
});

test('a process that is killed while it saves leaves a whole state file, every time', async () => {
  const program = fileURLToPath(new URL('save-forever.ts', import.meta.url));
  for (let round = 0; round < 5; round++) {
    const child = spawn(process.execPath, ['--conditions=source', program, stateFile], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    // It is in the middle of the next save when it says that one is done.
    for (let saves = 0; saves <= round; saves++) await once(child.stdout, 'data');
    // A reader at any time finds it whole, too: a file that was written in place would be cut short.
    for (let read = 0; read < 60; read++) {
      expect(await readFile(stateFile, 'utf8')).toMatch(/^\{"format":"local-entra"[^]*\]\}$/);
    }
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(JSON.parse(await readFile(stateFile, 'utf8'))).toMatchObject({ format: 'local-entra' });
  }
  const entra = await startLocalEntra({ dataFolder: folder, stateFile });
  await entra.close();
  const names = await readdir(folder);
  expect(names).toContain('state.json');
  expect(names.filter((name) => name.endsWith('.tmp'))).toEqual([]);
});
