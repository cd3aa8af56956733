import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { run } from '../src/run.ts';

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs one command line in this process, away from a terminal. */
export const runCommand = async (
  args: readonly string[],
  { stdin = '', env = {} }: { stdin?: string; env?: Record<string, string> } = {},
): Promise<Ran> => {
  const [input, output, errors] = [new PassThrough(), new PassThrough(), new PassThrough()];
  input.end(stdin);
  const texts = Promise.all([text(output), text(errors)]);
  const code = await run(args, {
    env,
    stdin: input as unknown as NodeJS.ReadStream,
    stdout: output as unknown as NodeJS.WriteStream,
    stderr: errors as unknown as NodeJS.WriteStream,
  });
  output.end();
  errors.end();
  const [stdout, stderr] = await texts;
  return { code, stdout, stderr };
};
