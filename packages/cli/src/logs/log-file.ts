import { appendFileSync, createReadStream, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

/** Where `start` keeps what its services log, for `logs` to read. */
export const logFile = (dataFolder: string): string => join(dataFolder, 'log.ndjson');

/** Beyond this the file is put aside as `log.1.ndjson`, in place of the one before. */
const maxBytes = 32 * 1024 * 1024;

/** Begins a new file. Lines go into it at once, so that a reader sees them. */
export const createLogFile = (dataFolder: string): ((line: string) => void) => {
  const path = logFile(dataFolder);
  let bytes = 0;
  const begin = (): void => {
    writeFileSync(path, '', { mode: 0o600 });
    bytes = 0;
  };
  begin();
  return (line) => {
    appendFileSync(path, `${line}\n`);
    bytes += line.length + 1;
    if (bytes < maxBytes) return;
    renameSync(path, join(dataFolder, 'log.1.ndjson'));
    begin();
  };
};

/** The bytes of a file, and what is written to it until then; from its start again when it is replaced. */
export async function* follow(path: string, until: AbortSignal, pollMs = 200): AsyncGenerator<Buffer> {
  let position = 0;
  let inode: number | undefined;
  while (!until.aborted) {
    // For a moment, there is none while it is replaced.
    const { size, ino } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0, ino: undefined };
    if (ino !== inode || size < position) position = 0;
    inode = ino;
    if (size > position) {
      for await (const chunk of createReadStream(path, { start: position, end: size - 1 }))
        yield chunk as Buffer;
      position = size;
    }
    await setTimeout(pollMs, undefined, { signal: until }).catch(() => {});
  }
}
