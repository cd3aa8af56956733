/** `docker compose up` on the data of the version before: they are kept, and the schema is the new one. */
import { readFile } from 'node:fs/promises';
import { expect, jest, test } from '@jest/globals';
import { type ComposedSystem, startComposedSystem } from './composed-system.ts';

jest.setTimeout(400_000);

/** What the first migration left behind, with a record of somebody's own. */
const before = await readFile(new URL('before.sql', import.meta.url), 'utf8');

test('an upgrade from the previous schema keeps the records', async () => {
  await using system: ComposedSystem = await startComposedSystem();
  await system.explained(async () => {
    await system.compose('rm', '--stop', '--force', 'records-api', 'records-migrate');
    await system.compose(
      'exec',
      '-T',
      'postgres',
      'psql',
      '-qU',
      'records',
      '-v',
      'ON_ERROR_STOP=1',
      '-c',
      before,
    );
    await system.compose('up', '--detach', '--wait');
    const response = await system.fetch(`${system.gatewayUrl}/api/records/1`, {
      headers: { authorization: `Bearer ${await system.token('api2')}` },
    });
    expect(response.headers.get('etag')).not.toBeNull();
    expect(await response.json()).toEqual({
      id: 1,
      name: 'Mine',
      description: 'from before',
      date: '2025-12-31T00:00:00.000Z',
    });
    const migrated = (await system.lines()).findLast(({ service }) => service === 'records-migrate');
    expect(migrated?.record).toMatchObject({ migrations: ['0002-versions-and-history'] });
  });
});
