import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { run } from '../src/run.ts';

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

interface Surroundings {
  stdin?: string | PassThrough;
  env?: Record<string, string>;
  /** Stands for Ctrl-C. */
  stop?: AbortSignal;
  /** Told of what is written as it is written. */
  onOutput?: (text: string) => void;
}

/** Runs one command line in this process, away from a terminal. */
export const runCommand = async (
  args: readonly string[],
  { stdin = '', env = {}, stop = AbortSignal.any([]), onOutput = () => {} }: Surroundings = {},
): Promise<Ran> => {
  const input = typeof stdin === 'string' ? new PassThrough().end(stdin) : stdin;
  const [output, errors] = [new PassThrough(), new PassThrough()];
  output.on('data', (chunk: Buffer) => onOutput(chunk.toString()));
  const texts = Promise.all([text(output), text(errors)]);
  const code = await run(args, {
    env,
    stdin: input as unknown as NodeJS.ReadStream,
    stdout: output as unknown as NodeJS.WriteStream,
    stderr: errors as unknown as NodeJS.WriteStream,
    untilStopped: () => stop,
  });
  output.end();
  errors.end();
  const [stdout, stderr] = await texts;
  return { code, stdout, stderr };
};
