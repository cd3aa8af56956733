import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { UpgradeAnswer } from '../../src/transport/upgrade.ts';
import { upgrade } from '../../src/transport/upgrade.ts';
import { get, ManualClock, timeouts } from './recording-sink.ts';
import { type ScriptedUpstream, startUpstream, turns } from './scripted-upstream.ts';

const request = { ...get, headers: ['Connection', 'Upgrade', 'Upgrade', 'echo'] };
const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n';

describe('upgrade', () => {
  let upstream: ScriptedUpstream;
  let clock: ManualClock;

  beforeEach(async () => {
    upstream = await startUpstream();
    clock = new ManualClock();
  });

  afterEach(async () => {
    await upstream[Symbol.asyncDispose]();
  });

  const ask = (signal?: AbortSignal): Promise<UpgradeAnswer> =>
    upgrade(upstream.origin, request, timeouts, { clock, ...(signal && { signal }) });

  test('hands over the connection, and what came with the answer', async () => {
    const answer = ask();
    const connection = await upstream.accept();
    await expect(connection.request()).resolves.toMatch(/^Upgrade: echo$/m);
    await connection.writePieces([
      Buffer.from(switching.slice(0, 40)),
      Buffer.from(`${switching.slice(40)}first`),
    ]);
    const { status, headers, socket, head } = await answer;
    expect(status).toBe(101);
    expect(headers).toEqual(['Connection', 'Upgrade', 'Upgrade', 'echo']);
    expect(head.toString()).toBe('first');

    connection.write('second');
    await turns(5);
    const data = once(socket ?? process, 'data');
    socket?.resume();
    await expect(data).resolves.toEqual([Buffer.from('second')]);
    socket?.write('third');
    await expect(connection.body('third')).resolves.toBe('third');
    clock.advance(1_000_000);
    expect(socket?.destroyed).toBe(false);
    socket?.destroy();
    await connection.closed;
  });

  test('reads a refusal to its end', async () => {
    const answer = ask();
    const connection = await upstream.accept();
    await connection.request();
    connection.write('HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n');
    await expect(answer).resolves.toMatchObject({ status: 403, socket: null, head: Buffer.from('no') });
    await connection.closed;
  });

  test.each([
    ['ends', 'HTTP/1.1 101 Swi', 'reset'],
    ['sends garbage', 'garbage', 'protocol'],
    ['refuses at length', `HTTP/1.1 403 Forbidden\r\n\r\n${'a'.repeat(100_000)}`, 'protocol'],
  ])('fails when the upstream %s', async (_, bytes, kind) => {
    const answer = ask();
    const connection = await upstream.accept();
    await connection.request();
    connection.write(bytes);
    connection.socket.end();
    await expect(answer).rejects.toMatchObject({ kind });
    await connection.closed;
  });

  test('is given up', async () => {
    const controller = new AbortController();
    const answer = ask(controller.signal);
    const connection = await upstream.accept();
    await connection.request();
    controller.abort();
    await expect(answer).rejects.toMatchObject({ kind: 'closed' });
    await connection.closed;
  });

  test('takes no longer to a connection than it may', async () => {
    const answer = ask();
    clock.advance(timeouts.connectMs + 1);
    await expect(answer).rejects.toMatchObject({ kind: 'connect_timeout' });
  });

  test('takes no longer to an answer than it may', async () => {
    const answer = ask();
    const connection = await upstream.accept();
    await connection.request();
    clock.advance(timeouts.headMs + 1);
    await expect(answer).rejects.toMatchObject({ kind: 'head_timeout' });
    await connection.closed;
  });
});
