import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startTestSystem, type TestSystem } from './test-system.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../packages/cli/${path}`, import.meta.url));

let system: TestSystem;
beforeAll(async () => {
  system = await startTestSystem();
});
afterAll(async () => {
  await system.stop();
  await rm(system.dataFolder, { recursive: true });
});

/** As a person runs it, away from the repository, and with nothing in the environment. */
const countersign = (...args: string[]): Promise<{ code: unknown; output: string }> =>
  new Promise((resolve) => {
    const all = ['--conditions=source', at('src/main.ts'), ...args, '--data', system.dataFolder];
    execFile(process.execPath, all, { env: {}, cwd: system.dataFolder }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, output: stdout + stderr }),
    );
  });

test('a refused call, its cause, what mends it, and the call again', async () => {
  const call = ['call', 'GET', '/api/records', '--as', 'api3'];
  expect(await countersign(...call)).toMatchObject({
    code: 1,
    output: expect.stringContaining('"code": "insufficient_role"'),
  });
  expect(await countersign('doctor', '--as', 'api3')).toMatchObject({
    code: 1,
    output: expect.stringMatching(/To mend first: .*no app role.*\nGrant the app role/),
  });
  const file = ['--file', at('provision.api3.yaml')];
  expect(await countersign('provision', 'plan', ...file)).toMatchObject({
    code: 2,
    output: expect.stringContaining(
      '+ access_as_application_API1 of api1\n\n1 to create, 0 to change, 0 to delete.',
    ),
  });
  expect(await countersign('provision', 'apply', ...file)).toMatchObject({ code: 0 });
  expect(await countersign('provision', 'verify', ...file)).toMatchObject({ code: 0 });
  expect(await countersign('doctor', '--as', 'api3')).toMatchObject({
    code: 0,
    output: expect.stringContaining('All is well.'),
  });
  expect(await countersign(...call)).toMatchObject({ code: 0, output: expect.stringContaining('< 200 OK') });
});
