import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { watchFile } from '../src/watch-file.ts';

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const step of cleanUp.splice(0).toReversed()) step();
});

/** A folder that holds `first/routes.yaml`, and whoever follows a file in it and has read it; `look` is what time does. */
const follow = async (path: string, prepare: (root: string) => void = () => undefined) => {
  const root = mkdtempSync(join(tmpdir(), 'countersign-'));
  cleanUp.push(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'first'));
  writeFileSync(join(root, 'first', 'routes.yaml'), 'first');
  prepare(root);
  const heard: string[] = [];
  let onHeard = (): void => undefined;
  const hear = (text: string): void => {
    heard.push(text);
    onHeard();
  };
  let look = (): void => undefined;
  const intervals: number[] = [];
  const stop = watchFile({
    file: join(root, path, 'routes.yaml'),
    text: '',
    onChange: hear,
    onError: (error) => hear((error as NodeJS.ErrnoException).code ?? String(error)),
    clock: {
      every: (ms, callback) => {
        intervals.push(ms);
        look = callback;
        return () => intervals.pop();
      },
    },
  });
  cleanUp.push(stop);
  const whenHeard = async (count: number): Promise<string[]> => {
    while (heard.length < count) await new Promise<void>((resolve) => (onHeard = resolve));
    return heard;
  };
  expect(await whenHeard(1)).toEqual(['first']);
  return { root, intervals, look: () => look(), whenHeard, stop };
};

test('a folder on the way to the file that is a link, and is swapped, changes the text: seen with the next look', async () => {
  const { root, look, whenHeard } = await follow('current', (made) => {
    mkdirSync(join(made, 'second'));
    writeFileSync(join(made, 'second', 'routes.yaml'), 'second');
    symlinkSync('first', join(made, 'current'));
  });
  symlinkSync('second', join(root, 'next'));
  renameSync(join(root, 'next'), join(root, 'current'));
  look();
  expect(await whenHeard(2)).toEqual(['first', 'second']);
});

test('a folder that is made anew is found again; that it was gone is told once', async () => {
  const { root, look, whenHeard } = await follow('first');
  rmSync(join(root, 'first'), { recursive: true });
  expect(await whenHeard(2)).toEqual(['first', 'ENOENT']);
  look();
  mkdirSync(join(root, 'made'));
  writeFileSync(join(root, 'made', 'routes.yaml'), 'made anew');
  renameSync(join(root, 'made'), join(root, 'first'));
  look();
  expect(await whenHeard(3)).toEqual(['first', 'ENOENT', 'made anew']);
  rmSync(join(root, 'first'), { recursive: true });
  look();
  expect(await whenHeard(4)).toEqual(['first', 'ENOENT', 'made anew', 'ENOENT']);
});

test('it looks every ten seconds, until it is stopped', async () => {
  const { intervals, stop } = await follow('first');
  expect(intervals).toEqual([10_000]);
  stop();
  expect(intervals).toEqual([]);
});
