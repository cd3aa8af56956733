import { writeSync } from 'node:fs';

/** Bytes of a block. */
const blockLength = 8_192;
const flushMs = 200;
/** More than this is never kept for a reader that takes nothing. */
const mostKept = 4 * 1024 * 1024;

/** What writes records by the block. */
export interface BlockOutput {
  write(record: string): void;
  /** Also called by pino after a fatal record. */
  flushSync(): void;
}

/**
 * Collects records and writes them together when they fill a block, after a fifth of a second, and at the exit of the
 * process. To write each costs more than to make it. A reader that is gone costs the records, never the process.
 *
 * @param fd file descriptor to write to
 */
export const createBlockOutput = (fd: number): BlockOutput => {
  let block = '';
  const flushSync = (): void => {
    if (block === '') return;
    const bytes = Buffer.from(block);
    block = '';
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(fd, bytes, written);
    } catch (error) {
      // A pipe that is full takes the rest later.
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN' && bytes.length < mostKept)
        block = bytes.toString('utf8', written);
    }
  };
  setInterval(flushSync, flushMs).unref();
  process.once('exit', flushSync);
  return {
    write(record) {
      block += record;
      if (block.length >= blockLength) flushSync();
    },
    flushSync,
  };
};
