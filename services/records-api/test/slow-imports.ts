import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import type { RecordFields } from '../src/record.ts';
import type { RecordDatabase } from '../src/store/record-database.ts';
import type { ImportPace } from '../src/transfers.ts';
import { startTestApi, type TestApi } from './test-api.ts';

const line = (name: string): string =>
  `${JSON.stringify({ name, description: '', date: '2026-01-01T00:00:00.000Z' })}\n`;

interface SlowImport {
  request: ClientRequest;
  answer: Promise<{ response: IncomingMessage; body: unknown }>;
}

const startImport = ({ url, token }: TestApi): SlowImport => {
  const headers = { authorization: `Bearer ${token()}`, 'content-type': 'application/x-ndjson' };
  const sent = request(`${url}/api/records/import`, { method: 'POST', headers });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve).once('error', reject);
  }).then(async (response) => ({ response, body: JSON.parse(await text(response)) as unknown }));
  return { request: sent, answer };
};

const until = async (isTrue: () => boolean): Promise<void> => {
  while (!isTrue()) await turn();
};

/** What an import is whose client takes its time, on an empty database. */
export const slowImports = (openDatabase: () => Promise<RecordDatabase>): void => {
  /** The pages that the database was given, and whether it was told that there are no more. */
  const watched = async (
    pace: ImportPace,
  ): Promise<{ api: TestApi; pages: (readonly RecordFields[])[]; isOver: () => boolean }> => {
    const database = await openDatabase();
    const pages: (readonly RecordFields[])[] = [];
    let isOver = false;
    async function* watch(source: AsyncIterable<readonly RecordFields[]>) {
      try {
        for await (const page of source) {
          pages.push(page);
          yield page;
        }
      } finally {
        isOver = true;
      }
    }
    const prepareImport: RecordDatabase['prepareImport'] = (source) => database.prepareImport(watch(source));
    return { api: await startTestApi({ ...database, prepareImport }, pace), pages, isOver: () => isOver };
  };

  const pace = { idleMs: 60_000, pageMs: 60_000 };

  describe('an import', () => {
    test('is written while it arrives, also what is no page yet', async () => {
      const { api, pages } = await watched({ ...pace, pageMs: 0 });
      await using _ = api;
      const { request, answer } = startImport(api);
      request.write(line('first'));
      await until(() => pages.flat().length === 1);
      // No line, but time that goes by.
      request.write(line('second').slice(0, 10));
      await until(() => pages.length === 2);
      request.end(line('second').slice(10));
      expect((await answer).body).toEqual({ imported: 2 });
    });

    test('with a wrong line holds nothing of the database while the rest of it arrives', async () => {
      const { api, isOver } = await watched(pace);
      await using _ = api;
      const { request, answer } = startImport(api);
      request.write(`${line('good')}{}\n`);
      await until(isOver);
      await until(() => (api.database.connections?.().used ?? 0) === 0);
      request.write(`${line('good')}[]\n`);
      request.end(line('good'));
      const { response, body } = await answer;
      expect(response.statusCode).toBe(422);
      expect((body as { errors: { line: number }[] }).errors.map((error) => error.line)).toEqual([
        2, 2, 2, 4,
      ]);
      expect(await (await api.call('GET', '/api/records?name=good')).json()).toEqual([]);
    });

    test('whose client falls silent is ended with 408, and leaves room for others', async () => {
      const { api } = await watched({ ...pace, idleMs: 50 });
      await using _ = api;
      for (let attempt = 0; attempt < 3; attempt += 1) {
        const { request, answer } = startImport(api);
        request.write(line('silent'));
        const { response, body } = await answer;
        expect(response.statusCode).toBe(408);
        expect(response.headers.connection).toBe('close');
        expect(body).toMatchObject({ code: 'request_timeout', errors: [{ pointer: '' }] });
        request.destroy();
      }
      expect(await (await api.call('GET', '/api/records?name=silent')).json()).toEqual([]);
    });
  });
};
