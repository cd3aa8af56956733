import { createLogger } from '@countersign/service-kit';
import { expect, test } from '@jest/globals';
import { openLiveTable } from '../src/proxy/live-table.ts';
import { createHttp1Transport } from '../src/transport/http1-transport.ts';
import { openConfigMap } from './config-map.ts';

const tableWith = (path: string): string =>
  JSON.stringify({
    upstreams: { u: { addresses: ['http://127.0.0.1:9'] } },
    routes: [{ path, upstream: 'u', access: 'public' }],
  });

test('a swapped table takes effect; a broken one changes nothing and says why', async () => {
  const { file, put } = openConfigMap(tableWith('/first'));
  const records: Record<string, unknown>[] = [];
  let reloaded = (_outcome: string): void => {};
  const live = await openLiveTable({
    file,
    surroundings: { locations: new Map(), apis: new Set() },
    logger: createLogger({
      name: 'gateway',
      version: '0',
      destination: { write: (line) => records.push(JSON.parse(line) as Record<string, unknown>) },
    }),
    rateLimits: {},
    upstreams: { createTransport: createHttp1Transport, report: () => undefined },
    onReload: (outcome) => reloaded(outcome),
  });
  const after = (text: string): Promise<string> =>
    new Promise((resolve) => {
      reloaded = resolve;
      put(text);
    });
  expect(live.current().match('/first')).toBeDefined();

  expect(await after(tableWith('/second'))).toBe('ok');
  expect(live.current().match('/first')).toBeUndefined();
  expect(live.current().match('/second')).toBeDefined();

  expect(await after('routes:\n  - { path: /third }')).toBe('refused');
  expect(live.current().match('/second')).toBeDefined();
  expect(records.at(-1)).toMatchObject({
    level: 'error',
    problems: [expect.stringContaining('line 2'), expect.anything()],
  });

  for (let count = 0; count < 20; count += 1) expect(await after(tableWith(`/version-${count}`))).toBe('ok');
  expect(live.current().match('/version-19')).toBeDefined();
  await live.close();
});
