import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LogLine } from '@countersign/cli';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { checkLines, readSecrets } from './test-system.ts';

const cli = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));
const anyPorts = [
  '--gateway-port',
  '0',
  '--admin-port',
  '0',
  '--records-port',
  '0',
  '--caller-port',
  '0',
  '--entra-port',
  '0',
];

let dataFolder = '';
beforeAll(async () => {
  dataFolder = await mkdtemp(join(tmpdir(), 'countersign-'));
});
afterAll(() => rm(dataFolder, { recursive: true }));

interface Run {
  child: ChildProcess;
  stdout: () => string;
  stderr: () => string;
  /** Resolves once what was said on standard error matches. */
  said: (pattern: RegExp) => Promise<void>;
  exitCode: Promise<number | null>;
}

const runCli = (...args: string[]): Run => runCliWith({}, ...args);

const runCliWith = (env: Record<string, string>, ...args: string[]): Run => {
  const child = spawn(process.execPath, ['--conditions=source', cli, ...args, '--data', dataFolder], {
    env: { ...process.env, ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const said = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (pattern.test(stderr)) resolve();
      };
      child.stderr.on('data', look);
      child.once('close', () => reject(new Error(`ended without saying ${pattern}: ${stderr}`)));
      look();
    });
  const exitCode = once(child, 'close').then(([code]) => code as number | null);
  return { child, stdout: () => stdout, stderr: () => stderr, said, exitCode };
};

const linesOf = (run: Run): LogLine[] =>
  run
    .stdout()
    .trimEnd()
    .split('\n')
    .map((text) => ({ service: 'start', text, record: JSON.parse(text) as Record<string, unknown> }));

const gatewayUrl = (run: Run): string => /http:\/\/localhost:\d+/.exec(run.stderr())?.[0] as string;

describe('countersign start', () => {
  test('comes up, hands out tokens, stops cleanly on Ctrl-C and keeps the data', async () => {
    const first = runCli('start', ...anyPorts);
    await first.said(/Ctrl-C/);
    expect(first.stderr().match(/^\[\d\/4\] [\w-]+ is up on port \d+$/gm)).toHaveLength(4);
    expect((await fetch(`${gatewayUrl(first)}/caller/records`)).status).toBe(200);

    const token = runCli('token', 'api2');
    expect(await token.exitCode).toBe(0);
    const authorization = `Bearer ${token.stdout().trim()}`;
    const url = (run: Run): string => `${gatewayUrl(run)}/api/records`;
    expect((await fetch(url(first), { headers: { authorization } })).status).toBe(200);

    first.child.kill('SIGINT');
    expect(await first.exitCode).toBe(0);
    expect(Number(/ready in ([\d.]+) s/.exec(first.stderr())?.[1])).toBeLessThan(10);
    checkLines(linesOf(first), await readSecrets(join(dataFolder, 'local-entra', 'secrets')));

    const noSystem = runCli('token', 'api2');
    expect(await noSystem.exitCode).toBe(1);
    expect(noSystem.stderr()).toContain('Nothing runs on the folder');
  });

  test('says nothing of its services below their level, and comes up all the same; Ctrl-C stops it while it starts', async () => {
    const quiet = runCliWith({ LOG_LEVEL: 'error' }, 'start', ...anyPorts);
    await quiet.said(/1\/4/);
    quiet.child.kill('SIGINT');
    expect(await quiet.exitCode).toBe(1);
    expect(quiet.stderr()).toMatch(/was stopped before it was up/);
  });

  test('a second one on the same data is refused, and the first goes on', async () => {
    const first = runCli('start', ...anyPorts);
    await first.said(/Ctrl-C/);
    const second = runCli('start', ...anyPorts);
    expect(await second.exitCode).toBe(1);
    expect(second.stderr()).toContain('A system runs on the data folder');
    const token = runCli('token', 'api2');
    expect(await token.exitCode).toBe(0);
    first.child.kill('SIGTERM');
    expect(await first.exitCode).toBe(0);
  });

  test('a port that is taken: a sentence that names it and who wants it, and nothing is left running', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const run = runCli('start', ...anyPorts, '--records-port', String(port));
    expect(await run.exitCode).toBe(1);
    expect(run.stderr()).toContain(
      `records-api did not start (exit code 1). The configuration cannot be used: PORT ${port} on 127.0.0.1 is taken.`,
    );
    other.close();
  });

  test('a service that dies takes the rest down, and is named', async () => {
    const run = runCli('start', ...anyPorts);
    await run.said(/Ctrl-C/);
    const { pid } = JSON.parse(
      run
        .stdout()
        .split('\n')
        .find((line) => line.includes('"records-api"')) as string,
    ) as {
      pid?: number;
    };
    expect(pid).toEqual(expect.any(Number));
    process.kill(pid as number, 'SIGKILL');
    expect(await run.exitCode).toBe(1);
    expect(run.stderr()).toContain('records-api ended by itself');
  });
});
