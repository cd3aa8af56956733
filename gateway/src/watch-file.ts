import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface WatchOptions {
  file: string;
  /** The text that is known already. */
  text: string;
  /** Called with each new text of the file. */
  onChange: (text: string) => void;
  /** Called when the file cannot be read; what was read before stays. */
  onError: (error: unknown) => void;
}

/**
 * Follows a file's text. The folder is watched, not the file: an editor replaces the file, and Kubernetes swaps a
 * symbolic link beside it (`..data`), which changes the text without an event for the file itself.
 *
 * @returns stops watching.
 */
export const watchFile = ({ file, text: known, onChange, onError }: WatchOptions): (() => void) => {
  let last = known;
  let reading = false;
  let again = false;
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
        if (text !== last) {
          last = text;
          onChange(text);
        }
      } catch (error) {
        onError(error);
      }
    } while (again);
    reading = false;
  };
  const watcher = watch(dirname(file), () => void look());
  watcher.on('error', onError);
  void look();
  return () => watcher.close();
};
