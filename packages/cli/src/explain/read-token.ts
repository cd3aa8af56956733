import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../command-error.ts';

/** Tokens of Entra have a few kilobytes. */
const maxCharacters = 1024 * 1024;

const readAll = async (stream: NodeJS.ReadStream): Promise<string> => {
  let text = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream as AsyncIterable<string>) {
    text += chunk;
    if (text.length > maxCharacters) throw new UsageError('That is no token: it is longer than 1 MiB.');
  }
  return text;
};

/** Without echo, so that the token stays off the screen. */
const paste = async ({ stdin, stderr }: Terminal): Promise<string> => {
  stderr.write('Paste the token, then press Enter: ');
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const prompt = createInterface({ input: stdin, output: silent, terminal: true });
  try {
    return await prompt.question('');
  } finally {
    prompt.close();
    stderr.write('\n');
  }
};

/** The token in what people have at hand: the token, a header with it, or the answer of a token endpoint. */
export const tokenIn = (text: string): string => {
  const trimmed = text.trim();
  const fromJson = /"(?:access_token|accessToken)"\s*:\s*"([^"]*)"/.exec(trimmed)?.[1];
  const bare = (fromJson ?? trimmed)
    .replace(/^(?:authorization:\s*)?bearer\s+/i, '')
    .replace(/^(["'])(.*)\1$/s, '$2');
  // Terminals and mails wrap long lines.
  return bare.replaceAll(/\s+/g, '');
};

/** From the argument, else from standard input, else pasted. @throws {UsageError} when there is none */
export const readToken = async (argument: string | undefined, terminal: Terminal): Promise<string> => {
  const ask = terminal.stdin.isTTY ? paste : ({ stdin }: Terminal) => readAll(stdin);
  const token = tokenIn(argument === undefined || argument === '-' ? await ask(terminal) : argument);
  if (token === '') throw new UsageError('No token was given: as an argument, on standard input, or pasted.');
  return token;
};
