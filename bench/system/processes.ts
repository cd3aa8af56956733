import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface Started {
  /** Of each server, in the order in which they listen. */
  urls: string[];
  stop: () => Promise<void>;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill();
});

/** Runs a file of the repository and waits until its servers listen. Its log is written, to /dev/null. */
export const start = async (
  file: string,
  servers: number,
  env: Readonly<Record<string, string>>,
): Promise<Started> => {
  const child = spawn(
    process.execPath,
    ['--conditions=source', fileURLToPath(new URL(`../../${file}`, import.meta.url))],
    { env: { ...env, PORT: '0' }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
  );
  running.add(child);
  child.once('exit', () => running.delete(child));
  const urls: string[] = [];
  await new Promise<void>((resolve, reject) => {
    child.on('message', (message) => {
      const { listening } = message as { listening?: number };
      if (listening !== undefined) urls.push(`http://127.0.0.1:${listening}`);
      if (urls.length === servers) resolve();
    });
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)));
  });
  return {
    urls,
    stop: async () => {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    },
  };
};
