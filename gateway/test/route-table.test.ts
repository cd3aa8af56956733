import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { readRouteTable } from '../src/route-table.ts';

const folder = mkdtempSync(join(tmpdir(), 'countersign-'));
const upstreams = new Set(['records-api', 'caller-api']);
const read = (text: string) => {
  const file = join(folder, 'routes.yaml');
  writeFileSync(file, text);
  return readRouteTable(file, upstreams);
};

describe('readRouteTable', () => {
  test('the table that comes with the gateway', () => {
    const routes = readRouteTable(fileURLToPath(new URL('../routes.yaml', import.meta.url)), upstreams);
    const upstreamOf = (path: string) => routes(path)?.upstream;
    expect(['/api/records', '/api/Records', '/API/RECORDS/7', '/caller/records'].map(upstreamOf)).toEqual([
      'records-api',
      'records-api',
      'records-api',
      'caller-api',
    ]);
    expect(['/', '/api', '/api/recordsx', '/callers', '/x/api/records'].map(upstreamOf)).toEqual(
      Array.from({ length: 5 }, () => undefined),
    );
  });

  test('the longest path wins', () => {
    const routes = read(`routes:
  - { path: /api, upstream: caller-api }
  - { path: /api/records, upstream: records-api }`);
    expect(routes('/api/records/1')?.upstream).toBe('records-api');
    expect(routes('/api/other')?.upstream).toBe('caller-api');
  });

  test.each([
    ['no YAML', 'routes: [', /cannot be read: .*line 1/s],
    ['no routes', 'routes: []', /routes/],
    ['an unknown key', 'routes: [{ path: /a, upstream: records-api, colour: red }]', /colour/],
    [
      'a path without a slash',
      'routes: [{ path: a, upstream: records-api }]',
      /routes\.0\.path: must be a path/,
    ],
    [
      'an unknown upstream',
      'routes: [{ path: /a, upstream: nobody }]',
      /"nobody", which UPSTREAMS does not locate/,
    ],
    [
      'the same path twice',
      'routes: [{ path: /a, upstream: records-api }, { path: /A, upstream: records-api }]',
      /routes\[1\] repeats the path \/A/,
    ],
  ])('refuses %s', (_, text, message) => {
    expect(() => read(text)).toThrow(message);
  });

  test('names a file that is not there', () => {
    expect(() => readRouteTable('/nowhere/routes.yaml', upstreams)).toThrow(
      /ROUTES_FILE \/nowhere\/routes\.yaml/,
    );
  });
});
