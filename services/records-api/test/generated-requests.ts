import * as fc from 'fast-check';
import { writeCursor } from '../src/cursor.ts';
import type { ApiDescription, Operation } from './api-description.ts';
import type { CallOptions, TestApi } from './test-api.ts';

interface GeneratedRequest {
  operationId: string;
  method: string;
  path: string;
  options: CallOptions;
}

/** What goes wrong in servers: ends of ranges, odd characters, other types. */
const oddText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 250 }),
  fc.constantFrom(
    '',
    '\0',
    '\ud800',
    '%',
    '*',
    '"',
    "' OR 1=1 --",
    '../..',
    '9007199254740993',
    '-1',
    '1e309',
    'NaN',
  ),
);

const goodDate = fc
  .date({ min: new Date('0001-01-02'), max: new Date('9999-12-30'), noInvalidDate: true })
  .map((date) => date.toISOString());

const valueFor = (name: string): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 3, arbitrary: name === 'date' ? goodDate : fc.string({ minLength: 1, maxLength: 20 }) },
    { weight: 1, arbitrary: oddText },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('0000-01-01T00:00:00Z', '+010000-01-01T00:00:00Z', '2026-02-30T00:00:00Z'),
    },
  );

const objectFor = (names: readonly string[]): fc.Arbitrary<unknown> =>
  fc.record(Object.fromEntries(names.map((name) => [name, valueFor(name)])), {
    requiredKeys: names.filter((name) => name !== 'id'),
  });

const bodyFor = (mediaType: string, names: readonly string[]): fc.Arbitrary<string> => {
  const one = fc.oneof(
    { weight: 4, arbitrary: objectFor(names) },
    {
      weight: 1,
      arbitrary: fc.dictionary(fc.oneof(oddText, fc.constantFrom('__proto__', ...names)), valueFor('name')),
    },
    { weight: 1, arbitrary: fc.jsonValue() },
  );
  const text = one.map((value) => JSON.stringify(value));
  const sent =
    mediaType === 'application/x-ndjson'
      ? fc.array(text, { maxLength: 5 }).map((lines) => lines.join('\n'))
      : text;
  return fc.oneof({ weight: 6, arbitrary: sent }, { weight: 1, arbitrary: oddText });
};

const texts: Readonly<Record<string, fc.Arbitrary<string>>> = {
  id: fc.oneof(fc.integer({ min: 1, max: 30 }).map(String), oddText),
  limit: fc.oneof(fc.integer({ min: -1, max: 110 }).map(String), oddText),
  from: fc.oneof(
    goodDate,
    goodDate.map((text) => text.slice(0, 10)),
    fc.constantFrom('9999-12-31', '0001-01-01'),
    oddText,
  ),
  to: fc.oneof(goodDate, fc.constantFrom('9999-12-31', '9999-12-31T23:59:59.999Z', '0001-01-01'), oddText),
  checkpoints: fc.constantFrom('true', 'false', '1'),
  'If-Match': fc.oneof(fc.constantFrom('*', '"1"', 'W/"1"', '"1", "2"', '1', '"'), oddText),
  'If-None-Match': fc.oneof(fc.constantFrom('*', '"1"', 'W/"1"', '"1", "2"', '1', '"'), oddText),
  'Idempotency-Key': fc.oneof(fc.constantFrom('a', 'b', 'c'), oddText),
};

/** Scopes of a list without filters and of a history. */
const scopes = fc.constantFrom('{}', 'history 1');

/** No cursor at all, or one with any position in it and a checksum that is right. */
const cursors = fc.oneof(
  oddText,
  fc.tuple(scopes, fc.jsonValue()).map(([scope, position]) => writeCursor(scope, position)),
);

/** A header as it can be sent at all. */
const sendable = (text: string): string => text.replaceAll(/[^\x20-\x7e\x80-\xff]/g, '?');

const requestFor = (description: ApiDescription, operation: Operation): fc.Arbitrary<GeneratedRequest> => {
  const { operationId, method, path, parameters, requestBody } = operation;
  const values = fc.record(
    Object.fromEntries(
      parameters.map(({ name }) => [name, name === 'cursor' ? cursors : (texts[name] ?? oddText)]),
    ),
    { requiredKeys: parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name) },
  );
  const [mediaType, media] = Object.entries(requestBody?.content ?? {})[0] ?? [];
  const names = media ? Object.keys(description.properties(media)) : [];
  const body = mediaType === undefined ? fc.constant(undefined) : bodyFor(mediaType, names);
  const type =
    mediaType === undefined
      ? fc.constant(undefined)
      : fc.oneof({ weight: 8, arbitrary: fc.constant(mediaType) }, { weight: 1, arbitrary: oddText });
  return fc.record({ values, body, type }).map(({ values, body, type }) => {
    const given = parameters.filter(({ name }) => values[name] !== undefined);
    const inPlace = (place: string): [string, string][] =>
      given.filter((parameter) => parameter.in === place).map(({ name }) => [name, values[name] as string]);
    const query = new URLSearchParams(inPlace('query')).toString();
    const concrete = inPlace('path').reduce(
      (text, [name, value]) =>
        text.replace(`{${name}}`, () => encodeURIComponent(value.toWellFormed()) || '0'),
      path,
    );
    const headers = Object.fromEntries(inPlace('header').map(([name, value]) => [name, sendable(value)]));
    return {
      operationId,
      method,
      path: query ? `${concrete}?${query}` : concrete,
      options: {
        body,
        headers: { ...headers, ...(type !== undefined && { 'content-type': sendable(type) }) },
      },
    };
  });
};

/** Answers that stand for what the path says and not for the operation: ids like `.` and `export` lead elsewhere. */
const leadsElsewhere = ({ method, path }: GeneratedRequest, url: string, operationPath: string): boolean =>
  new URL(path, url).pathname.split('/').length !== operationPath.split('/').length ||
  (method === 'GET' && /\/export(?:$|\?)/i.test(path) && operationPath.endsWith('{id}'));

/**
 * Sends requests that are made from the document, good and bad mixed. Throws with the smallest one that gets a 500, or an
 * answer that is not described.
 *
 * @returns how often each status was answered
 */
export const sendGeneratedRequests = async (
  api: TestApi,
  description: ApiDescription,
  count: number,
  seed: number,
): Promise<Map<number, number>> => {
  const statuses = new Map<number, number>();
  const requests = fc.oneof(
    ...description.operationIds.map((operationId) =>
      requestFor(description, description.operation(operationId)),
    ),
  );
  await fc.assert(
    fc.asyncProperty(requests, async (request) => {
      const response = await api.call(request.method, request.path, request.options);
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      if (response.status >= 500) throw new Error(`${response.status}: ${await response.text()}`);
      const { path } = description.operation(request.operationId);
      if (leadsElsewhere(request, api.url, path)) await response.arrayBuffer();
      else await description.assertDescribed(request.operationId, response);
    }),
    { numRuns: count, seed },
  );
  return statuses;
};
