import {
  ftruncateSync,
  fstatSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { z } from 'zod';

/** Where records go, by blocks. */
export interface ExportTarget {
  /** Records that are kept. */
  readonly records: number;
  /** Behind the last of them; undefined before the first. */
  readonly cursor: string | undefined;
  /** Resolves when the block has been written and its cursor noted. @throws {ExportOutputError} */
  keep(lines: readonly string[], cursor: string): Promise<void>;
  /** Everything is there: forgets the cursor. */
  finish(): void;
}

/** The records have nowhere to go. */
export class ExportOutputError extends Error {
  override readonly name = 'ExportOutputError';
}

/** What was asked for cannot be meant. */
export class ExportUsageError extends Error {
  override readonly name = 'ExportUsageError';
}

/** What the file of a broken-off export holds. */
const progressSchema = z.object({
  cursor: z.string(),
  records: z.int().min(0),
  /** Length of the output behind the last whole block. */
  bytes: z.int().min(0),
  /** Device and inode of the output. */
  file: z.string(),
});

type Progress = z.output<typeof progressSchema>;

export interface TargetOptions {
  output: NodeJS.WritableStream & { fd: number };
  /** Where progress is noted, and taken up from when it is there. Default: it is not. */
  progressFile: string | undefined;
  /** Told after each block. */
  onBlock: (records: number) => void;
}

/**
 * Makes a target of standard output. To go on with an export, it has to be the file that the first part is in, opened for
 * appending: what stands there behind the last whole block is cut off first.
 *
 * @throws {ExportUsageError}
 */
export const openTarget = ({ output, progressFile, onBlock }: TargetOptions): ExportTarget => {
  const progress = progressFile === undefined ? undefined : readProgress(progressFile);
  const stat = fstatSync(output.fd, { bigint: true });
  const file = `${stat.dev}:${stat.ino}`;
  let { cursor, records, bytes }: Pick<Progress, 'records' | 'bytes'> & Partial<Progress> = progress ?? {
    records: 0,
    bytes: Number(stat.size),
  };
  if (progressFile !== undefined && !stat.isFile()) {
    throw new ExportUsageError('With --resume, standard output has to be a file.');
  }
  if (progress) {
    if (progress.file !== file || stat.size < bytes) {
      throw new ExportUsageError(
        `Standard output is not the file that ${progressFile} speaks of, or shorter: append to the file (>>) that the export began in, or remove ${progressFile}.`,
      );
    }
    ftruncateSync(output.fd, bytes);
  }
  const write = stat.isFile() ? writeToFile : writeToStream;
  // Told by the callback of each write as well; without a listener it would end the process.
  output.on('error', () => undefined);
  return {
    get records() {
      return records;
    },
    get cursor() {
      return cursor;
    },
    async keep(lines, next) {
      const text = lines.map((line) => `${line}\n`).join('');
      await write(output, text);
      bytes += Buffer.byteLength(text);
      records += lines.length;
      cursor = next;
      if (progressFile !== undefined) writeProgress(progressFile, { cursor, records, bytes, file });
      onBlock(records);
    },
    finish() {
      if (progressFile !== undefined) rmSync(progressFile, { force: true });
    },
  };
};

const outputError = (error: Error): ExportOutputError =>
  new ExportOutputError(`The records cannot be written: ${error.message}`, { cause: error });

/** Node's own stream on a file takes a write for done of which the disk took a part only. */
const writeToFile = async ({ fd }: TargetOptions['output'], text: string): Promise<void> => {
  const bytes = Buffer.from(text);
  try {
    for (let written = 0; written < bytes.length;) written += writeSync(fd, bytes, written);
  } catch (error) {
    throw outputError(error as Error);
  }
};

const writeToStream = (output: TargetOptions['output'], text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    output.write(text, (error) => {
      if (error) reject(outputError(error));
      else resolve();
    });
  });

const readProgress = (file: string): Progress | undefined => {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new ExportUsageError(`${file} cannot be read (${code}).`);
  }
  try {
    return progressSchema.parse(JSON.parse(text));
  } catch {
    throw new ExportUsageError(`${file} does not say how far an export has come.`);
  }
};

/** Whole or not at all. */
const writeProgress = (file: string, progress: Progress): void => {
  const draft = `${file}.new`;
  try {
    writeFileSync(draft, `${JSON.stringify(progress)}\n`);
    renameSync(draft, file);
  } catch (error) {
    throw new ExportOutputError(`${file} cannot be written: ${(error as Error).message}`, { cause: error });
  }
};
