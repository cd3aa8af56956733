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
  perSecond: number;
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
  const { durationUs, failedAnswers, socketErrors, ...report } = JSON.parse(
    stdout.trim().split('\n').at(-1) ?? '',
  ) as Record<'requests' | 'durationUs' | 'failedAnswers' | 'socketErrors' | 'p50Us' | 'p99Us', number>;
  if (failedAnswers > 0 || socketErrors > 0) {
    throw new Error(
      `of ${report.requests} answers ${failedAnswers} were not 2xx, and ${socketErrors} sockets failed`,
    );
  }
  return { ...report, perSecond: (report.requests / durationUs) * 1_000_000 };
};
