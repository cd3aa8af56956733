import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createApiReference } from './api-reference.ts';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));
const modules = fileURLToPath(new URL('../../../node_modules', import.meta.url));
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'consumer-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

test('the public API is the one in API.md; `npm run -w packages/shared-auth api` writes it anew', () => {
  const written = readFileSync(join(packageFolder, 'API.md'), 'utf8');
  expect(flat(createApiReference())).toBe(flat(written));
});

test('the package works where it is installed: types, code, and nothing else', () => {
  // As it is cloned: without dist.
  const repository = join(folder, 'repository');
  const source = join(repository, 'packages/shared-auth');
  mkdirSync(source, { recursive: true });
  for (const name of ['package.json', 'README.md', 'API.md', 'LICENSE', 'tsconfig.json', 'pack.ts', 'src']) {
    cpSync(join(packageFolder, name), join(source, name), { recursive: true });
  }
  cpSync(join(packageFolder, '../../tsconfig.base.json'), join(repository, 'tsconfig.base.json'));
  symlinkSync(modules, join(repository, 'node_modules'));
  const packed = spawnSync('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: source,
    encoding: 'utf8',
  });
  const [{ filename, files }] = JSON.parse(packed.stdout) as [
    { filename: string; files: { path: string }[] },
  ];
  expect(readFileSync(join(source, 'package.json'), 'utf8')).toBe(
    readFileSync(join(packageFolder, 'package.json'), 'utf8'),
  );
  const names = files.map(({ path }) => path);
  expect(names).toEqual(
    expect.arrayContaining(['API.md', 'LICENSE', 'README.md', 'dist/index.js', 'dist/index.d.ts']),
  );
  expect(names.filter((name) => /^(?:src|test)\//.test(name))).toEqual([]);

  const consumer = join(folder, 'consumer');
  const installed = join(consumer, 'node_modules/@countersign/shared-auth');
  mkdirSync(installed, { recursive: true });
  spawnSync('tar', ['xzf', join(folder, filename), '-C', installed, '--strip-components', '1']);
  expect(readFileSync(join(installed, 'package.json'), 'utf8')).not.toContain('src/');
  // Its dependencies are the ones that are installed here.
  for (const name of readdirSync(modules).filter(
    (each) => each !== '@countersign' && !each.startsWith('.'),
  )) {
    symlinkSync(join(modules, name), join(consumer, 'node_modules', name));
  }
  writeFileSync(join(consumer, 'package.json'), '{"type":"module"}');
  writeFileSync(
    join(consumer, 'use.ts'),
    `import { authenticate, createEntraNetwork, createTokenVerifier, requireAppRole, type Principal } from '@countersign/shared-auth';
     const id = '11111111-1111-4111-8111-111111111111';
     const verifier = createTokenVerifier({ authorityHost: 'https://login.microsoftonline.com', tenantId: id, clientId: id, network: createEntraNetwork() });
     export const stack = [authenticate(verifier), requireAppRole('role')];
     const outcome: Principal | string = await verifier.verify('x').catch((error: Error) => error.name);
     if (outcome !== 'InvalidTokenError') throw new Error(String(outcome));`,
  );
  const run = spawnSync(process.execPath, ['--conditions=source', 'use.ts'], {
    cwd: consumer,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
  });
  expect(run).toMatchObject({ status: 0, stderr: '' });
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  const flags = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--types',
    'node',
    'use.ts',
  ];
  const types = spawnSync(process.execPath, [tsc, ...flags, '--skipLibCheck'], {
    cwd: consumer,
    encoding: 'utf8',
  });
  expect(types.stdout).toBe('');
}, 60_000);
