import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TokenSource } from '@countersign/shared-auth';
import { afterEach, describe, expect, test } from '@jest/globals';
import { ExportBrokenError, exportRecords, ExportRefusedError } from '../src/export/export-records.ts';
import type { ExportTarget } from '../src/export/target.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

const tokens = {
  getToken: async ({ refused }: { refused?: string }) => ({ accessToken: refused ? 'new' : 'old' }),
} as unknown as TokenSource;

/** A target that keeps everything in memory. */
const createTarget = () => {
  const kept: string[] = [];
  let last: string | undefined;
  const target: ExportTarget = {
    get records() {
      return kept.length;
    },
    get cursor() {
      return last;
    },
    keep: async (lines, cursor) => {
      kept.push(...lines);
      last = cursor;
    },
    finish: () => undefined,
  };
  return { target, kept };
};

const run = async (listener: RequestListener, timeoutMs = 5_000) => {
  server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { target, kept } = createTarget();
  const delays: number[] = [];
  const exported = exportRecords({
    baseUrl: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    scope: 'api://x/.default',
    tokens,
    timeoutMs,
    target,
    signal: new AbortController().signal,
    sleep: async (ms) => {
      delays.push(ms);
    },
  });
  return { exported, kept, delays };
};

const block = (first: number): string =>
  `{"id":${first}}\n{"id":${first + 1}}\n{"cursor":"after-${first + 1}"}\n`;

describe('exportRecords', () => {
  test('goes on behind the last whole block when the connection breaks', async () => {
    const asked: (string | null)[] = [];
    const { exported, kept, delays } = await run(({ url = '' }, response) => {
      asked.push(new URL(url, 'http://x').searchParams.get('cursor'));
      if (asked.length === 1) response.write(`${block(1)}{"id":3}\n{"id"`, () => response.destroy());
      else response.end(block(3));
    });
    await exported;
    expect(kept).toEqual(['{"id":1}', '{"id":2}', '{"id":3}', '{"id":4}']);
    expect(asked).toEqual([null, 'after-2']);
    expect(delays).toEqual([500]);
  });

  test('takes what ends without a cursor for broken off', async () => {
    let calls = 0;
    const { exported, kept } = await run((_, response) => {
      calls += 1;
      response.end(calls === 1 ? `${block(1)}{"id":3}\n` : block(3));
    });
    await exported;
    expect(kept).toHaveLength(4);
  });

  test('waits as long as it is asked to, and gives up after six tries in a row', async () => {
    const { exported, delays } = await run((_, response) => {
      response.writeHead(503, { 'retry-after': '3' }).end('busy');
    });
    await expect(exported).rejects.toThrow(ExportBrokenError);
    expect(delays).toEqual([3_000, 3_000, 3_000, 4_000, 8_000]);
  });

  test('breaks off a silence', async () => {
    const { exported } = await run((_, response) => void response.write('{"id":1}\n'), 50);
    await expect(exported).rejects.toThrow(ExportBrokenError);
  });

  test('takes another token once', async () => {
    const seen: (string | undefined)[] = [];
    const { exported } = await run(({ headers }, response) => {
      seen.push(headers.authorization);
      if (headers.authorization === 'Bearer new') response.end();
      else response.writeHead(401).end();
    });
    await exported;
    expect(seen).toEqual(['Bearer old', 'Bearer new']);
  });

  test.each([401, 403, 400, 302])('%i is no reason to try again', async (status) => {
    const { exported, delays } = await run((_, response) => {
      response.writeHead(status, { location: '/' }).end('{"code":"no"}');
    });
    await expect(exported).rejects.toThrow(ExportRefusedError);
    expect(delays).toEqual([]);
  });
});
