import { createConfig, lintFromString } from '@redocly/openapi-core';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type ApiDescription, describeApi } from './api-description.ts';
import { startTestApi, type TestApi } from './test-api.ts';

let api: TestApi;
let description: ApiDescription;
beforeAll(async () => {
  api = await startTestApi();
  description = describeApi(await (await fetch(`${api.url}/openapi.json`)).json());
});
afterAll(() => api[Symbol.asyncDispose]());

test('the document is valid, and follows the rules that Redocly recommends', async () => {
  const config = await createConfig({ extends: ['recommended-strict'] });
  const source = JSON.stringify(description.document);
  const problems = await lintFromString({ source, absoluteRef: 'openapi.json', config });
  expect(problems.map(({ ruleId, message }) => `${ruleId}: ${message}`)).toEqual([]);
  const broken = source.replace('"operationId":"getRecord"', '"operationId":"listRecords"');
  expect(await lintFromString({ source: broken, absoluteRef: 'openapi.json', config })).not.toEqual([]);
});

const record = { name: 'a', description: 'b', date: '2026-01-01T00:00:00Z' };
const tag = { 'if-match': '*' };
const patchType = { 'content-type': 'application/merge-patch+json' };
const linesType = { 'content-type': 'application/x-ndjson' };
const manyLines = `${JSON.stringify(record)}\n`.repeat(1_001);

/** Every operation, with every status that it can be brought to answer here. */
const calls: [operationId: string, status: number, path: string, options?: Parameters<TestApi['call']>[2]][] =
  [
    ['listRecords', 200, '/api/records?limit=2'],
    ['listRecords', 400, '/api/records?limit=0'],
    ['listRecords', 403, '/api/records', { roles: [] }],
    ['createRecord', 201, '/api/records', { body: record, headers: { 'idempotency-key': 'k' } }],
    ['createRecord', 201, '/api/records', { body: record, headers: { 'idempotency-key': 'k' } }],
    [
      'createRecord',
      422,
      '/api/records',
      { body: { ...record, name: 'z' }, headers: { 'idempotency-key': 'k' } },
    ],
    ['createRecord', 400, '/api/records', { body: '{' }],
    ['createRecord', 413, '/api/records', { body: 'x'.repeat(70_000) }],
    ['createRecord', 415, '/api/records', { body: 'x', headers: { 'content-type': 'text/plain' } }],
    ['createRecord', 422, '/api/records', { body: {} }],
    ['importRecords', 200, '/api/records/import', { body: manyLines, headers: linesType }],
    ['importRecords', 422, '/api/records/import', { body: 'x\n{}', headers: linesType }],
    ['importRecords', 415, '/api/records/import', { body: '{}' }],
    [
      'importRecords',
      400,
      '/api/records/import',
      { body: '{}', headers: { ...linesType, 'idempotency-key': ' a b ' } },
    ],
    ['exportRecords', 200, '/api/records/export?checkpoints=true'],
    ['exportRecords', 400, '/api/records/export?limit=1'],
    ['getRecord', 200, '/api/records/1'],
    ['getRecord', 304, '/api/records/1', { headers: { 'if-none-match': '"1"' } }],
    ['getRecord', 400, '/api/records/1', { headers: { 'if-none-match': '1' } }],
    ['getRecord', 404, '/api/records/0'],
    ['replaceRecord', 200, '/api/records/1', { body: record, headers: tag }],
    ['replaceRecord', 412, '/api/records/1', { body: record, headers: { 'if-match': '"1"' } }],
    ['replaceRecord', 428, '/api/records/1', { body: record }],
    ['changeRecord', 200, '/api/records/1', { body: { name: 'c' }, headers: { ...tag, ...patchType } }],
    ['changeRecord', 422, '/api/records/1', { body: { name: null }, headers: { ...tag, ...patchType } }],
    ['changeRecord', 404, '/api/records/987654', { body: {}, headers: { ...tag, ...patchType } }],
    ['getHistory', 200, '/api/records/1/history?limit=1'],
    ['getHistory', 400, '/api/records/1/history?cursor=x'],
    ['getHistory', 404, '/api/records/987654/history'],
    ['deleteRecord', 400, '/api/records/1', { headers: { 'if-match': 'x' } }],
    ['deleteRecord', 204, '/api/records/1', { headers: tag }],
    ['getHistory', 200, '/api/records/1/history'],
  ];

// A row without options would get jest's callback in their place.
const rows = calls.map(([operationId, status, path, options = {}]) => ({
  operationId,
  status,
  path,
  options,
}));

test.each(rows)(
  '$operationId: $status for $path is as described',
  async ({ operationId, status, path, options }) => {
    const { method } = description.operation(operationId);
    const response = await api.call(method, path, options);
    expect(response.status).toBe(status);
    await description.assertDescribed(operationId, response);
  },
);

test('the calls above leave out no operation', () => {
  expect(new Set(calls.map(([operationId]) => operationId))).toEqual(new Set(description.operationIds));
});

test('what is not described is found out', async () => {
  const answer = (status: number, body: unknown): Response =>
    new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
  const undescribed = [
    answer(200, [{ id: '1' }]),
    answer(200, { id: 1 }),
    answer(418, {}),
    new Response('[]', { status: 200, headers: { 'content-type': 'text/html' } }),
  ];
  for (const response of undescribed)
    await expect(description.assertDescribed('listRecords', response)).rejects.toThrow(/listRecords/);
});
