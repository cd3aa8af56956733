import { AuthError, EntraNetworkError } from '@countersign/shared-auth';
import { CommanderError } from 'commander';
import { CommandError, UsageError } from './command-error.ts';
import { exitCodes } from './exit-codes.ts';
import { createProgram } from './program.ts';
import { ServiceStartError } from './service-process.ts';
import { printable, type Terminal } from './terminal.ts';

/** Others' words, or the system's (`EACCES: permission denied, open …`). */
const isExpected = (error: Error): boolean =>
  error instanceof CommandError ||
  error instanceof ServiceStartError ||
  error instanceof EntraNetworkError ||
  'syscall' in error;

/** What an error tells the person at the keyboard: expected ones a sentence, others their stack. */
const wordsOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof AuthError) {
    const { explanation, reason } = error.logFields;
    return [error.message, explanation ?? reason].filter((part) => typeof part === 'string').join(' ');
  }
  return isExpected(error) ? error.message : (error.stack ?? error.message);
};

/** Runs one command line. Resolves to the exit code. */
export const run = async (args: readonly string[], terminal: Omit<Terminal, 'end'>): Promise<number> => {
  let exitCode: number = exitCodes.done;
  const end = (code: number): void => {
    exitCode = code;
  };
  try {
    await createProgram({ ...terminal, end }).parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    terminal.stderr.write(`${printable(wordsOf(error))}\n`);
    return error instanceof UsageError ? exitCodes.usage : exitCodes.fault;
  }
};
