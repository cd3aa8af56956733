import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from '@jest/globals';

type LogRecord = Record<string, unknown>;

let child: ChildProcess | undefined;
afterEach(() => {
  child?.kill('SIGKILL');
});

const start = async (env: Record<string, string> = {}) => {
  const main = fileURLToPath(new URL('draining-service.ts', import.meta.url));
  const started = spawn(process.execPath, ['--conditions=source', main], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  }) as ChildProcessByStdio<null, Readable, null>;
  child = started;
  const records: LogRecord[] = [];
  const lines = createInterface({ input: started.stdout });
  lines.on('line', (line) => records.push(JSON.parse(line) as LogRecord));
  const logged = async (message: string): Promise<LogRecord> => {
    for (;;) {
      const record = records.find(({ msg }) => msg === message);
      if (record) return record;
      await once(lines, 'line');
    }
  };
  const ended = once(lines, 'close');
  const exitCode = once(started, 'exit').then(async ([code]) => {
    await ended;
    return code as number | null;
  });
  return { child: started, records, logged, exitCode };
};

const ask = (port: unknown, path: string, headers = {}) => {
  const request = get({
    host: '127.0.0.1',
    port: Number(port),
    path,
    headers: { connection: 'keep-alive', ...headers },
  });
  const inFlight = once(request, 'information');
  const answer = once(request, 'response').then(async ([response]) => {
    const message = response as IncomingMessage;
    let body = '';
    for await (const chunk of message) body += String(chunk);
    return { body, connection: message.headers.connection };
  });
  // The tests look at those that matter to them, and may look late.
  for (const promise of [inFlight, answer]) promise.catch(() => undefined);
  return { inFlight, answer };
};

describe('serve', () => {
  test('on SIGTERM: no new connections, requests in flight to their end, exit 0', async () => {
    const service = await start({ WATCH_END: 'yes' });
    const { 'server.port': port } = await service.logged('listening');
    const slow = ask(port, '/slow');
    await slow.inFlight;
    service.child.kill('SIGTERM');
    await service.logged('stopping');
    await expect(ask(port, '/').answer).rejects.toThrow(/ECONNREFUSED|ECONNRESET/);
    service.child.kill('SIGUSR2');
    // The service was not ready any more when it answered.
    expect((await slow.answer).body).toBe('false');
    expect(await service.exitCode).toBe(0);
    expect(service.records.map(({ msg }) => msg)).toEqual([
      'listening',
      'stopping',
      'stopped',
      'nothing is left to do',
    ]);
  });

  test('takes work until the delay is over, says that it will not for long, and closes each connection', async () => {
    const service = await start({ DRAIN_DELAY_MS: '1500' });
    const { 'server.port': port } = await service.logged('listening');
    service.child.kill('SIGTERM');
    await service.logged('stopping');
    expect(await ask(port, '/').answer).toEqual({ body: 'false', connection: 'close' });
    expect(await ask(port, '/', { expect: '100-continue' }).answer).toMatchObject({ connection: 'close' });
    expect(await service.exitCode).toBe(0);
  });

  test('a second signal exits at once', async () => {
    const service = await start();
    const { 'server.port': port } = await service.logged('listening');
    const slow = ask(port, '/slow');
    await slow.inFlight;
    service.child.kill('SIGTERM');
    await service.logged('stopping');
    service.child.kill('SIGTERM');
    expect(await service.exitCode).toBe(1);
    await expect(slow.answer).rejects.toThrow();
  });

  test('cuts off what outlasts the drain timeout, and says so', async () => {
    const service = await start({ DRAIN_TIMEOUT_MS: '50' });
    const { 'server.port': port } = await service.logged('listening');
    const slow = ask(port, '/slow');
    await slow.inFlight;
    service.child.kill('SIGTERM');
    await expect(slow.answer).rejects.toThrow();
    expect(await service.exitCode).toBe(0);
    expect(service.records.map(({ level, msg }) => `${String(level)} ${String(msg)}`)).toContain(
      'warn requests in flight were cut off: the drain timeout has passed',
    );
  });

  test('ends though something was left open', async () => {
    const service = await start({ LEFT_OPEN: 'yes', WATCH_END: 'yes' });
    await service.logged('listening');
    service.child.kill('SIGTERM');
    expect(await service.exitCode).toBe(0);
    expect(service.records.at(-1)).toMatchObject({ msg: 'stopped' });
  });

  test('a signal after it has stopped changes nothing', async () => {
    const service = await start({ LEFT_OPEN: 'yes' });
    await service.logged('listening');
    service.child.kill('SIGTERM');
    await service.logged('stopped');
    service.child.kill('SIGTERM');
    expect(await service.exitCode).toBe(0);
  });

  test('stops when the process that started it is gone', async () => {
    const service = await start();
    await service.logged('listening');
    service.child.disconnect();
    expect(await service.exitCode).toBe(0);
  });

  test('a port that is taken: one sentence, exit 1', async () => {
    const first = await start();
    const { 'server.port': port } = await first.logged('listening');
    const second = await start({ PORT: String(port) });
    expect(await second.exitCode).toBe(1);
    expect(second.records).toMatchObject([
      {
        level: 'fatal',
        msg: `The configuration cannot be used: PORT ${String(port)} on 127.0.0.1 is taken.`,
      },
    ]);
    first.child.kill('SIGKILL');
    await first.exitCode;
  });
});
