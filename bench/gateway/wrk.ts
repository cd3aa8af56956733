import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface Load {
  url: string;
  headers: Readonly<Record<string, string>>;
  connections: number;
  seconds: number;
  /** Length of a body to send. Default: none, by GET. */
  uploadBytes?: number;
}

export interface LoadReport {
  requests: number;
  durationUs: number;
  p50Us: number;
  p99Us: number;
}

const script = fileURLToPath(new URL('wrk-report.lua', import.meta.url));

/**
 * Loads a URL by wrk with one thread, as fast as it answers.
 *
 * @throws {Error} when one answer was not 2xx or a socket failed.
 */
export const load = async ({
  url,
  headers,
  connections,
  seconds,
  uploadBytes = 0,
}: Load): Promise<LoadReport> => {
  const lines = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const options = [
    '-t',
    '1',
    '-c',
    String(connections),
    '-d',
    `${seconds}s`,
    '--timeout',
    '10s',
    '-s',
    script,
  ];
  const { stdout } = await promisify(execFile)('wrk', [...options, ...lines, url], {
    env: { ...process.env, UPLOAD_BYTES: String(uploadBytes) },
  });
  const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as LoadReport & {
    failedAnswers: number;
    socketErrors: number;
  };
  if (report.failedAnswers > 0 || report.socketErrors > 0 || report.requests === 0) {
    throw new Error(
      `${report.failedAnswers} answers were not 2xx, ${report.socketErrors} sockets failed, of ${report.requests} requests`,
    );
  }
  return report;
};
