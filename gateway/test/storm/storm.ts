import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { startRecording } from '../recording-upstream.ts';
import { small } from '../scripted-server.ts';
import { runGateway } from '../gateway-process.ts';
import { type Attack, attacks } from './corpus.ts';

export interface StormReport {
  connections: number;
  seconds: number;
  /** Open descriptors and resident memory of the gateway, before and after. */
  descriptors: { before: number; after: number };
  megabytes: { before: number; after: number };
  /** Connections to the upstream that brought what only a smuggled request could have. */
  smuggled: number;
  /** Attacks that went another way than they should, each with how it went. */
  unexpected: Record<string, number>;
  /** Good requests during the storm, by how they ended. */
  bystanders: Record<string, number>;
  /** The gateway's exit code on SIGTERM afterwards. */
  exitCode: number | null;
}

const concurrency = 128;
/** How long the gateway is let wait for the rest of a request. */
const waitMs = 400;
/** What is not over by then hangs. Shorter than any of the gateway's own times, which would end it as well. */
const hangMs = 20_000;

/**
 * Sends so many hostile connections to a gateway in a process of its own, over upstreams that misbehave as well, and
 * looks at what is left of them. A first part warms the process up and is not counted.
 */
export const storm = async (
  connections: number,
  transport: 'http1' | 'undici' = 'http1',
): Promise<StormReport> => {
  const answers: Readonly<Record<string, (socket: Socket) => unknown>> = {
    '/a/reset': (socket) => socket.resetAndDestroy(),
    '/a/half': (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'),
    '/a/garbage': (socket) => socket.write('garbage\r\n\r\n'),
    '/a/poison': (socket) => socket.write(small + small),
    '/a/large': (socket) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n${large}`),
  };
  await using upstream = await startRecording((socket, request) => {
    const path = request.split(' ', 2)[1] ?? '';
    (answers[path] ?? ((open) => open.write(small)))(socket);
  });
  let smuggled = 0;
  const upstreams = { u: { addresses: [`http://${upstream.authority}`], failures: 1_000 } };
  await using gateway = runGateway(
    { upstreams, routes: [{ path: '/a', upstream: 'u', access: 'public', timeouts: { headMs: 30_000 } }] },
    {
      MAX_CONNECTIONS_PER_ADDRESS: '1000000',
      LOG_LEVEL: 'fatal',
      KEEP_ALIVE_MS: '1000',
      CLIENT_IDLE_MS: '30000',
      TRANSPORT: transport,
    },
  );
  const url = await gateway.url();
  const port = Number(new URL(url).port);
  const bystanders: Record<string, number> = {};
  const unexpected: Record<string, number> = {};

  const search = (): void => {
    smuggled += upstream.heard().filter((bytes) => bytes.includes('smuggled')).length;
    upstream.forget();
  };

  const rage = async (count: number): Promise<void> => {
    let begun = 0;
    const over = new AbortController();
    const attack = async (): Promise<void> => {
      // Once something is wrong, to go on would only take its time.
      while (begun < count && Object.keys(unexpected).length === 0) {
        begun += 1;
        const { name, begin, expected } = attacks[begun % attacks.length] as Attack;
        // Each from another address of loopback, so that ports do not run out.
        const socket = connect({
          port,
          host: '127.0.0.1',
          localAddress: `127.0.${begun % 8}.${1 + (begun % 250)}`,
        });
        const { status, ended } = await strike(socket, begin, expected === 'waits' ? waitMs : hangMs);
        const outcome = ended ? (status ?? 'ends') : `${status ?? ''} waits`.trimStart();
        if (outcome === expected || (expected === 'ends' && ended)) continue;
        const what = `${name}: ${outcome}`;
        unexpected[what] = (unexpected[what] ?? 0) + 1;
      }
    };
    const stand = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const outcome = await fetch(`${url}/a/good`, { signal: AbortSignal.timeout(hangMs) }).then(
          async (response) => `${response.status} ${await response.text()}`,
          (error: Error) => String((error.cause as NodeJS.ErrnoException | undefined)?.code ?? error),
        );
        bystanders[outcome] = (bystanders[outcome] ?? 0) + 1;
        search();
        await delay(5);
      }
    };
    const standing = stand();
    await Promise.all(Array.from({ length: concurrency }, attack));
    over.abort();
    await standing;
    search();
  };

  const pid = gateway.child.pid as number;
  await rage(Math.ceil(connections / 2));
  const before = await restOf(pid);
  const startMs = performance.now();
  await rage(connections);
  const seconds = (performance.now() - startMs) / 1_000;
  const after = await restOf(pid);
  gateway.child.kill('SIGTERM');
  return {
    connections,
    seconds: Math.round(seconds),
    descriptors: { before: before.descriptors, after: after.descriptors },
    megabytes: { before: before.megabytes, after: after.megabytes },
    smuggled,
    unexpected,
    bystanders,
    exitCode: await gateway.exitCode,
  };
};

const large = 'x'.repeat(2_000_000);

interface Outcome {
  /** The first one that was said. */
  status: string | undefined;
  /** False when the connection had to be cut. */
  ended: boolean;
}

const strike = async (socket: Socket, begin: Attack['begin'], longestMs: number): Promise<Outcome> => {
  let said = '';
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    if (said.length < 12) said += chunk.toString('latin1', 0, 12);
  });
  // Not once(): it would fail with the errors that are to be expected here.
  const closed = new Promise((resolve) => {
    socket.once('close', resolve);
  });
  let ended = true;
  const timer = setTimeout(() => {
    ended = false;
    socket.destroy();
  }, longestMs);
  begin(socket);
  await closed;
  clearTimeout(timer);
  return { status: /^HTTP\/1\.1 (\d{3})/.exec(said)?.[1], ended };
};

/** Descriptors and memory of a process at rest: once none was opened or closed for longer than idle connections are kept. */
const restOf = async (pid: number): Promise<{ descriptors: number; megabytes: number }> => {
  const count = (): number => readdirSync(`/proc/${pid}/fd`).length;
  let descriptors = count();
  for (let still = 0; still < 20; still += 1) {
    await delay(250);
    const now = count();
    if (now !== descriptors) still = 0;
    descriptors = now;
  }
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
  return { descriptors, megabytes: Math.round((pages * 4_096) / 2 ** 20) };
};
