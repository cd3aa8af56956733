import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { errorTable } from '../../../services/local-entra/src/sts-errors/error-table.ts';
import { aadstsRemedies } from '../src/doctor/aadsts-remedies.ts';
import { examine, Fault, type Step } from '../src/doctor/examination.ts';
import { parseProvisionFile } from '../src/provision/provision-file.ts';
import { runCommand } from './run-command.ts';

const passing = (name: string, needs: string[] = []): Step => ({
  name,
  title: name,
  needs,
  examine: async () => ({ detail: 'good' }),
});
const failing = (name: string, needs: string[] = []): Step => ({
  ...passing(name, needs),
  examine: () => Promise.reject(new Fault('broken', 'mend it')),
});

describe('an examination', () => {
  test('skips what needs a step that failed, and what needs that', async () => {
    const steps = [
      passing('a'),
      failing('b', ['a']),
      passing('c', ['b']),
      passing('d', ['c']),
      passing('e', ['a']),
    ];
    const told: string[] = [];
    const findings = await examine(steps, ({ step }) => told.push(step));
    expect(findings.map(({ verdict }) => verdict)).toEqual([
      'passed',
      'failed',
      'skipped',
      'skipped',
      'passed',
    ]);
    expect(findings[1]).toMatchObject({ detail: 'broken', remedy: 'mend it' });
    expect(findings[2]?.detail).toBe('needs: b');
    expect(told).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});

/** Requests that no client of ours sends: their numbers say so themselves. */
const notOurs = new Set([500501, 900147, 9000411]);

test.each(
  [...new Set(Object.values(errorTable).map(({ number }) => number))].filter(
    (number) => !notOurs.has(number),
  ),
)('AADSTS%i: what to do is known', (number) => {
  expect(aadstsRemedies[number]).toEqual(expect.stringMatching(/\.$|provision \w[\w-]*$|"$/));
});

test.each([
  ['provision.yaml', ['api1', 'api2', 'api4']],
  ['provision.aks.yaml', ['api1', 'api2']],
])('%s can be read', async (name, applications) => {
  const content = await readFile(new URL(`../${name}`, import.meta.url), 'utf8');
  expect(parseProvisionFile(content, name).applications.map(({ key }) => key)).toEqual(
    expect.arrayContaining(applications),
  );
});

test('bash completes by what completion prints', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'completion-'));
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
  await writeFile(
    join(folder, 'countersign'),
    `#!/bin/sh\nexec '${process.execPath}' --conditions=source '${main}' "$@"\n`,
    { mode: 0o755 },
  );
  const script = `source <(countersign completion bash)
for line in 'countersign do' 'countersign provision pl' 'countersign logs --st' 'countersign token api4'; do
  COMP_WORDS=($line) COMP_CWORD=$(($(set -- $line; echo $#) - 1)) COMPREPLY=()
  _countersign
  echo "\${COMPREPLY[*]}"
done
complete -p countersign`;
  const { stdout } = await promisify(execFile)('bash', ['--norc', '-c', script], {
    env: { PATH: `${folder}:${process.env['PATH']}` },
  });
  expect(stdout.split('\n')).toEqual([
    ...['doctor', 'plan', '--status', 'api4'],
    'complete -o default -F _countersign countersign',
    '',
  ]);
  await rm(folder, { recursive: true });
});

describe('doctor --watch', () => {
  const at = (host: string): string => `AZURE_AUTHORITY_HOST=${host}\nAZURE_TENANT_ID=${randomUUID()}\n`;

  test('tells of every change, and of nothing else, until it is stopped; ends as the last look did', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'watch-'));
    const file = join(folder, 'settings.env');
    await writeFile(file, at('http://one.invalid'));
    const stop = new AbortController();
    const told: string[] = [];
    const { code } = await runCommand(['doctor', '--env-file', file, '--watch', '--every', '1'], {
      stop: stop.signal,
      onOutput(text) {
        told.push(/To mend first: (.*)/.exec(text)?.[1] ?? text);
        if (told.length === 1) writeFileSync(file, at('http://two.invalid'));
        else stop.abort();
      },
    });
    expect(told).toEqual([
      'AZURE_AUTHORITY_HOST is no https: origin: http://one.invalid',
      'AZURE_AUTHORITY_HOST is no https: origin: http://two.invalid',
    ]);
    expect(code).toBe(1);
    await rm(folder, { recursive: true });
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('%s ends it in order', async (signal) => {
    const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
    const child = spawn(
      process.execPath,
      ['--conditions=source', main, 'doctor', '--data', '/nowhere', '--watch'],
      {
        env: {},
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    child.stdout.once('data', () => child.kill(signal));
    expect(await once(child, 'close')).toEqual([1, null]);
  });
});

test('an address with a password is not repeated', async () => {
  const { stdout } = await runCommand(['doctor', '--data', '/nowhere'], {
    env: { TOKEN_CACHE_URL: 'redis://:s3cret@cache:99999999', GATEWAY_URL: 'http://user:s3cret@127.0.0.1:1' },
  });
  expect(stdout).toContain('TOKEN_CACHE_URL is no address');
  expect(stdout).not.toContain('s3cret');
});

describe('the command', () => {
  test.each(['', 'explain', 'token', 'call', 'doctor', 'logs', 'provision', 'provision plan', 'completion'])(
    'countersign %s --help',
    async (name) => {
      const { code, stdout } = await runCommand([...name.split(' ').filter(Boolean), '--help']);
      expect(stdout).toContain('Usage: countersign');
      expect(stdout.includes('Examples:')).toBe(name !== '' && name !== 'provision');
      expect(code).toBe(0);
    },
  );

  test.each([
    [['complete', '--', 'do'], 'doctor\n'],
    [['complete', '--', 'provision', 'pl'], 'plan\n'],
    [['complete', '--', 'logs', '--st'], '--status\n'],
    [['complete', '--', 'token', 'api4'], 'api4\n'],
    [['complete', '--', 'completion', 'f'], 'fish\n'],
  ])('%s', async (args, candidates) => {
    expect(await runCommand(args)).toEqual({ code: 0, stdout: candidates, stderr: '' });
  });

  test.each(['bash', 'zsh', 'fish'])('completion %s', async (shell) => {
    expect((await runCommand(['completion', shell])).stdout).toContain('countersign complete --');
  });

  test.each([
    [['dcotor'], 'Did you mean doctor?'],
    [['call', 'GET'], "missing required argument 'url'"],
  ])('%s: 64', async (args, sentence) => {
    const { code, stderr } = await runCommand(args);
    expect(stderr).toContain(sentence);
    expect(code).toBe(64);
  });
});
