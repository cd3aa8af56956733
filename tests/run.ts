/**
 * `npm test`: runs every suite that this machine can run, says which ran and which did not, and ends with one line
 * that counts all of them. With `REQUIRE_CONTAINERS=1` a missing Docker engine is a failure, with `REQUIRE_KUBECTL=1`
 * a missing kubectl, with `REQUIRE_CHROMIUM=1` a missing Chromium.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface JestResults {
  numPassedTests: number;
  numFailedTests: number;
  numRuntimeErrorTestSuites: number;
}

const noResults: JestResults = { numPassedTests: 0, numFailedTests: 0, numRuntimeErrorTestSuites: 0 };

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

const works = (command: string, ...parameters: string[]): boolean =>
  spawnSync(command, parameters, { stdio: 'ignore', timeout: 20_000 }).status === 0;

/** Suites that need something that a machine may lack. */
const demanding = [
  {
    project: 'manifests',
    // An old one knows no components.
    works: works('kubectl', 'kustomize', 'k8s/base'),
    isRequired: process.env['REQUIRE_KUBECTL'] === '1',
    lack: 'no kubectl can render k8s/base',
  },
  {
    project: 'browser',
    works: works(process.env['CHROMIUM'] ?? '/usr/bin/chromium', '--version'),
    isRequired: process.env['REQUIRE_CHROMIUM'] === '1',
    lack: 'there is no Chromium (apt-get install chromium)',
  },
  {
    project: 'containers',
    works: works('docker', 'info'),
    isRequired: process.env['REQUIRE_CONTAINERS'] === '1',
    lack: 'no Docker engine answers',
  },
];

/** Whatever the tests leave behind. */
const temporary = mkdtempSync(join(tmpdir(), 'countersign-tests-'));
process.once('exit', () => {
  try {
    rmSync(temporary, { recursive: true, force: true });
  } catch (error) {
    say(`${temporary} is still there: ${(error as Error).message}`);
  }
});

const runJest = async (project: string): Promise<JestResults> => {
  const outputFile = `artifacts/${project}.json`;
  rmSync(outputFile, { force: true });
  const jest = createRequire(import.meta.url).resolve('jest/bin/jest');
  const flags = ['--selectProjects', project, '--json', '--outputFile', outputFile, '--maxWorkers', '100%'];
  // With the temporary files it would be gone for the next run.
  flags.push('--cacheDirectory', 'artifacts/jest-cache');
  // Counts failures in a thousand under load, so that it wants the machine for itself: `npm run test:scale`.
  if (project === 'containers') flags.push('--testPathIgnorePatterns', 'tests/containers/scale');
  const child = spawn(process.execPath, [jest, ...flags, ...process.argv.slice(2)], {
    env: {
      ...process.env,
      TMPDIR: temporary,
      NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning',
      // The suite cleans up after itself; the sidecar that would do it elsewhere needs an image of its own.
      TESTCONTAINERS_RYUK_DISABLED: 'true',
    },
    // Its report goes to standard error, its JSON to the file.
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = (await once(child, 'close')) as [number | null];
  const results = existsSync(outputFile)
    ? (JSON.parse(readFileSync(outputFile, 'utf8')) as JestResults)
    : noResults;
  const failures = results.numFailedTests + results.numRuntimeErrorTestSuites;
  // Whatever made jest fail without a failed test to show for it counts as one.
  return code === 0 || failures > 0 ? results : { ...results, numFailedTests: 1 };
};

mkdirSync('artifacts', { recursive: true });
const projects = [
  'packages',
  'system',
  ...demanding.filter((suite) => suite.works).map(({ project }) => project),
];
let passed = 0;
let failed = 0;
const report: string[] = [];

for (const project of projects) {
  say(`\n── ${project} ──`);
  const results = await runJest(project);
  passed += results.numPassedTests;
  // A file that cannot be loaded has no tests to count, and is a failure all the same.
  const broken = results.numFailedTests + results.numRuntimeErrorTestSuites;
  failed += broken;
  report.push(`${project}: ran, ${results.numPassedTests} passed, ${broken} failed`);
}
for (const { project, isRequired, lack } of demanding.filter((suite) => !suite.works)) {
  if (isRequired) failed += 1;
  report.push(`${project}: ${isRequired ? 'FAILED, it is required here and' : 'did not run,'} ${lack}`);
}

say('');
report.push(`took ${Math.round(performance.now() / 1_000)} s`);
for (const line of report) say(line);
say(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
