import { styleText } from 'node:util';

/** Where the command was given. */
export interface Terminal {
  env: Readonly<Record<string, string | undefined>>;
  stdin: NodeJS.ReadStream;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  /** What the command will end with. Default 0. */
  end: (code: number) => void;
}

export type Style = Parameters<typeof styleText>[0];
export type Paint = (style: Style, text: string) => string;

/** Colours for a stream: on a terminal alone, and not where `NO_COLOR` is set. */
export const painter = (stream: NodeJS.WriteStream): Paint => {
  // Asked once: a log has many lines.
  const isColoured = styleText('red', '-', { stream }) !== '-';
  return (style, text) => (isColoured ? styleText(style, text, { validateStream: false }) : text);
};

/** One JSON document, for programs. */
export const writeJson = (stream: NodeJS.WritableStream, value: unknown): boolean =>
  stream.write(`${JSON.stringify(value, undefined, 2)}\n`);

/** Text without what moves a terminal's cursor or colours it: tokens, logs and answers are written by others. */
export const printable = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\uFFFD');

/** A value of a token or answer on one line, cut where it is long. */
export const shown = (value: unknown, most = 160): string => {
  if (value === undefined) return '–';
  const text = printable(typeof value === 'string' ? value : JSON.stringify(value)).replaceAll('\n', ' ');
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
};
