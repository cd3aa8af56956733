import { randomUUID } from 'node:crypto';
import type { RecordsProcess } from './records-process.ts';

export interface Storm {
  /** Names of the records whose creation was acknowledged. */
  acknowledged: readonly string[];
  /** Status of every answer that was no success, and its Retry-After. */
  refusals: readonly { status: number; retryAfter: string | null }[];
  /** Requests that got no answer. */
  broken: number;
}

/**
 * Creates records, ten at a time, each under a key of its own that is sent until it is acknowledged.
 *
 * @param disturb called when so many were acknowledged; while it runs, senders that got no success wait for nothing else.
 */
export const writeStorm = async (
  { url, token }: RecordsProcess,
  count: number,
  disturbances: ReadonlyMap<number, () => Promise<void>>,
): Promise<Storm> => {
  const acknowledged: string[] = [];
  const refusals: { status: number; retryAfter: string | null }[] = [];
  let broken = 0;
  let sent = 0;
  let disturbance: Promise<void> = Promise.resolve();

  const sendOnce = async (name: string, key: string): Promise<boolean> => {
    try {
      const response = await fetch(`${url}/api/records`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'idempotency-key': key,
        },
        body: JSON.stringify({ name, description: '', date: '2026-01-01T00:00:00Z' }),
      });
      await response.arrayBuffer();
      if (response.status === 201) return true;
      refusals.push({ status: response.status, retryAfter: response.headers.get('retry-after') });
    } catch {
      broken += 1;
    }
    return false;
  };

  const send = async (): Promise<void> => {
    while (sent < count) {
      const name = `storm ${(sent += 1)}`;
      const key = randomUUID();
      while (!(await sendOnce(name, key))) await disturbance;
      acknowledged.push(name);
      const disturb = disturbances.get(acknowledged.length);
      if (disturb) disturbance = disturb();
    }
  };
  await Promise.all(Array.from({ length: 10 }, send));
  await disturbance;
  return { acknowledged, refusals, broken };
};

/** Names of all records of a storm that are there, in the order of their ids. */
export const storedNames = async ({ url, token }: RecordsProcess): Promise<string[]> => {
  const response = await fetch(`${url}/api/records/export`, {
    headers: { authorization: `Bearer ${token}` },
  });
  return (await response.text())
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { name: string }).name)
    .filter((name) => name.startsWith('storm'));
};

/** What is there more than once. */
export const doubled = (names: readonly string[]): string[] => {
  const seen = new Set<string>();
  return names.filter((name) => seen.size === seen.add(name).size);
};
