import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemClock } from './transport/deadlines.ts';
import type { Clock } from './transport/transport.ts';

export interface WatchOptions {
  file: string;
  /** The text that is known already. */
  text: string;
  /** Called with each new text of the file. */
  onChange: (text: string) => void;
  /** Called when the file cannot be read, once until it can; what was read before stays. */
  onError: (error: unknown) => void;
  clock?: Pick<Clock, 'every'>;
}

const lookMs = 10_000;

/**
 * Follows a file's text. The folder is watched, not the file: an editor replaces the file, and Kubernetes swaps a
 * symbolic link beside it (`..data`), which changes the text without an event for the file itself. Of a folder that is made
 * anew, or reached by a link that is swapped, no event tells: for these it looks every ten seconds as well.
 *
 * @returns stops watching.
 */
export const watchFile = ({
  file,
  text: known,
  onChange,
  onError,
  clock = systemClock,
}: WatchOptions): (() => void) => {
  let last = known;
  let readable = true;
  let reading = false;
  let again = false;
  let stopped = false;
  const look = async (): Promise<void> => {
    if (reading) {
      again = true;
      return;
    }
    reading = true;
    do {
      again = false;
      try {
        const text = await readFile(file, 'utf8');
        if (stopped) return;
        readable = true;
        if (text !== last) {
          last = text;
          onChange(text);
        }
      } catch (error) {
        if (readable && !stopped) onError(error);
        readable = false;
      }
    } while (again);
    reading = false;
  };
  const watcher = watch(dirname(file), () => void look());
  watcher.on('error', onError);
  const stopLooking = clock.every(lookMs, () => void look());
  void look();
  return () => {
    stopped = true;
    stopLooking();
    watcher.close();
  };
};
