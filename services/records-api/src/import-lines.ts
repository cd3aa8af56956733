import type { InvalidPart, ProblemError } from '@countersign/service-kit';
import { invalidRequest, maxErrors, partsOf } from './invalid-request.ts';
import type { Line } from './ndjson.ts';
import { type RecordFields, recordLine } from './record.ts';

export type LineError = InvalidPart & { line: number };

/** Records that are written at once. */
const pageSize = 1_000;

/**
 * Pages of records up to the first line that is none.
 *
 * @param errors takes what is wrong with that line
 * @param pageMs after how long a page is over that is not full, and be it empty: a storage may not wait for ever
 * @throws ProblemError (422) for that line; those behind it are left in `lines`
 */
export async function* validPages(
  lines: AsyncIterator<Line[]>,
  errors: LineError[],
  pageMs: number,
): AsyncGenerator<RecordFields[]> {
  let page: RecordFields[] = [];
  let startMs = performance.now();
  for (let next = await lines.next(); !next.done; next = await lines.next()) {
    for (const line of next.value) {
      const record = readRecord(line, errors);
      if (record) page.push(record);
    }
    if (errors.length > 0) throw nothingImported(errors);
    if (page.length >= pageSize || performance.now() - startMs >= pageMs) {
      yield page;
      page = [];
      startMs = performance.now();
    }
  }
  if (page.length > 0) yield page;
}

/** What is wrong with the lines that are left, put to the errors that are known. */
export const findErrors = async (
  lines: AsyncIterable<Line[]>,
  errors: LineError[],
): Promise<ProblemError> => {
  for await (const some of lines) {
    for (const line of some) readRecord(line, errors);
    if (errors.length >= maxErrors) break;
  }
  return nothingImported(errors);
};

const nothingImported = (errors: readonly LineError[]): ProblemError =>
  invalidRequest(422, 'Nothing was imported: some lines are no records.', errors);

const readRecord = ({ number: line, text }: Line, errors: LineError[]): RecordFields | undefined => {
  if (text === undefined) {
    errors.push({ line, pointer: '', detail: 'is no UTF-8, or longer than 64 KiB' });
    return undefined;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    errors.push({ line, pointer: '', detail: 'is no JSON' });
    return undefined;
  }
  const result = recordLine.safeParse(value);
  if (result.success) return result.data;
  errors.push(...partsOf(result.error).map((part) => ({ line, ...part })));
  return undefined;
};
