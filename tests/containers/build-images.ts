import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Once before all tests, by the command itself: its output is the only thing that explains a build that fails. */
const buildImages = (): void => {
  const { status } = spawnSync('docker', ['compose', '--profile', 'tools', 'build'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) throw new Error(`docker compose build failed with exit code ${status}`);
};

// oxlint-disable-next-line import/no-default-export -- what jest asks of globalSetup
export default buildImages;
