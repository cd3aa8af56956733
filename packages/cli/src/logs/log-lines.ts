import { StringDecoder } from 'node:string_decoder';

export type LogRecord = Readonly<Record<string, unknown>>;

/** Longer ones are no records of a service. */
const maxLineCharacters = 1024 * 1024;

/** The lines of a stream, as many at a time as have arrived. One without an end is cut. */
export async function* linesOf(stream: AsyncIterable<Buffer | string>): AsyncGenerator<string[]> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + (typeof chunk === 'string' ? chunk : decoder.write(chunk))).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > maxLineCharacters) {
      lines.push(rest);
      rest = '';
    }
    if (lines.length > 0) yield lines;
  }
  rest += decoder.end();
  if (rest !== '') yield [rest];
}

type Lines = AsyncIterator<string[]>;

/** The lines of several sources as they come. */
export async function* interleaved(sources: readonly Lines[]): AsyncGenerator<string[]> {
  const next = async (source: Lines) => ({ source, result: await source.next() });
  const pending = new Map(sources.map((source) => [source, next(source)]));
  while (pending.size > 0) {
    const { source, result } = await Promise.race(pending.values());
    if (result.done) pending.delete(source);
    else {
      pending.set(source, next(source));
      yield result.value;
    }
  }
}

const timeIn = (line: string | undefined): string | undefined => /"time":"([^"]+)"/.exec(line ?? '')?.[1];

/** The lines of several sources that are whole, such as a file of each service: some of the oldest ones at a time. */
export async function* oldestFirst(sources: readonly Lines[]): AsyncGenerator<string[]> {
  const open = new Map(sources.map((source) => [source, '']));
  while (open.size > 0) {
    const [[source, time]] = [...open].toSorted(([, left], [, right]) => (left < right ? -1 : 1)) as [
      [Lines, string],
    ];
    const { done, value } = await source.next();
    if (done) open.delete(source);
    else {
      open.set(source, timeIn(value.at(-1)) ?? time);
      yield value;
    }
  }
}

/**
 * The record in a line, behind whatever `docker compose logs`, `kubectl logs --prefix` or `-t` put before it. Undefined
 * for a line without one.
 */
export const recordIn = (line: string): LogRecord | undefined => {
  const start = line.charCodeAt(0) === 0x7b ? 0 : line.indexOf('{');
  if (start < 0) return undefined;
  try {
    const value: unknown = JSON.parse(start === 0 ? line : line.slice(start));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as LogRecord)
      : undefined;
  } catch {
    return undefined;
  }
};
