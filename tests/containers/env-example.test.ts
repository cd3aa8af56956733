import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { repository } from './composed-system.ts';

const namesIn = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, name]) => name as string);

test('.env.example has every variable of the compose files, and no other', async () => {
  const folder = join(repository, 'compose');
  const files = (await readdir(folder)).map((name) => join(folder, name));
  const texts = [join(repository, 'docker-compose.yml'), ...files].map((file) => readFile(file, 'utf8'));
  const asked = namesIn((await Promise.all(texts)).join('\n'), /\$\{(\w+)/g);
  const documented = namesIn(await readFile(join(repository, '.env.example'), 'utf8'), /^(\w+)=/gm);
  // Compose's own.
  expect(new Set(documented)).toEqual(new Set([...asked, 'COMPOSE_FILE']));
});
