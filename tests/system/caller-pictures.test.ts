import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { type PictureList, sha256, shownPages, themes } from '../browser/shown-pages.ts';

const read = (file: string): Buffer => readFileSync(new URL(`../../docs/img/${file}`, import.meta.url));
const list = JSON.parse(read('pictures.json').toString()) as PictureList;
const expected = Object.keys(shownPages).flatMap((name) => themes.map((theme) => `${name}-${theme}.png`));

test('docs/img has a picture of each page, light and dark, and no other', () => {
  expect(Object.keys(list).toSorted()).toEqual(expected.toSorted());
});

test.each(expected)('%s shows the page as it is now: else run npm run screenshots', (file) => {
  const page = shownPages[file.replace(/-(light|dark)\.png$/, '')] as string;
  expect(list[file]).toEqual({ page: sha256(page), picture: sha256(read(file)) });
});
