import { styleText } from 'node:util';

/** Where the command was given. */
export interface Terminal {
  env: Readonly<Record<string, string | undefined>>;
  stdin: NodeJS.ReadStream;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  /** What the command will end with. Default 0. */
  end: (code: number) => void;
  /** For a command that goes on until it is told to stop: aborted by the first Ctrl-C or SIGTERM from now on. */
  untilStopped: () => AbortSignal;
}

export type Style = Parameters<typeof styleText>[0];
export type Paint = (style: Style, text: string) => string;

/** Colours for a stream: on a terminal alone, and not where `NO_COLOR` is set. */
export const painter = (stream: NodeJS.WriteStream): Paint => {
  // Asked once: a log has many lines.
  const isColoured = styleText('red', '-', { stream }) !== '-';
  return (style, text) => (isColoured ? styleText(style, text, { validateStream: false }) : text);
};

/** What moves a terminal's cursor, colours it or turns its text round; line ends and tabs apart. */
// oxlint-disable-next-line no-control-regex
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text without what acts on a terminal: tokens, logs and answers are written by others. */
export const printable = (text: string): string => text.replaceAll(controls, '\uFFFD');

/** The same on one line: a second one could look like a row of its own. */
export const oneLine = (text: string): string => printable(text).replaceAll(/[\n\t]/g, ' ');

/** JSON that a terminal can show, too: what would act on it is escaped, and reads the same. */
export const jsonText = (value: unknown, indent?: number): string =>
  JSON.stringify(value, undefined, indent).replaceAll(
    controls,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** One JSON document, for programs. */
export const writeJson = (stream: NodeJS.WritableStream, value: unknown): boolean =>
  stream.write(`${jsonText(value, 2)}\n`);

/** A value of a token or answer on one line, cut where it is long. */
export const shown = (value: unknown, most = 160): string => {
  if (value === undefined) return '–';
  const text = oneLine(typeof value === 'string' ? value : JSON.stringify(value));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
};
