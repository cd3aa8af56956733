import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { frame, frameTypes, preface } from './http2-frames.ts';
import { startGateway, startUpstream, stopAll, whenTrue } from './start-gateway.ts';
import { settled } from './transport/scripted-upstream.ts';

afterEach(stopAll);

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const { data, headers, rstStream, settings, ping, windowUpdate } = frameTypes;
const opening = Buffer.concat([
  preface,
  // Windows without bounds: what is left of the answer waits in the socket.
  frame(settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), uint32(2 ** 31 - 1)])),
  frame(windowUpdate, 0, 0, uint32(2 ** 31 - 65_536)),
  // RFC 7541: GET, http, /a, authority x
  frame(headers, 0x5, 1, Buffer.from('\x82\x86\x04\x02/a\x41\x01x', 'latin1')),
]);

test('a client that resets a stream it has not read gets nothing of what others are answered', async () => {
  const megabyte = 2 ** 20;
  let sent = 0;
  const origin = await startUpstream((request, response) => {
    const [letter, megabytes] = request.url === '/a' ? (['a', 40] as const) : (['s', 20] as const);
    const chunk = Buffer.alloc(megabyte, letter);
    const go = (left: number): void => {
      if (left === 0) response.end();
      else
        response.write(chunk, (error) => {
          sent += 1;
          if (!error) go(left - 1);
        });
    };
    go(megabytes);
  });
  const gateway = await startGateway({
    protocol: 'h2c',
    table: {
      upstreams: { u: { addresses: [origin] } },
      routes: [{ path: '/', upstream: 'u', access: 'public' }],
    },
  });
  let foreign = 0;
  for (let round = 0; round < 5; round += 1) {
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1').pause();
    socket.write(opening);
    const before = sent;
    await whenTrue(() => sent > before);
    await settled(() => sent);
    socket.write(frame(rstStream, 0, 1, uint32(8)));
    await whenTrue(() => gateway.records.length === 2 * round + 1);
    const session = connectHttp2(gateway.url);
    const other = session.request({ ':path': '/b' }).resume();
    await once(other, 'close');
    session.close();
    await whenTrue(() => gateway.records.length === 2 * round + 2);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk)).resume();
    // The session answers behind all that was on its way.
    socket.write(frame(ping, 0, 0, Buffer.from('the ping')));
    await whenTrue(() => chunks.at(-1)?.includes('the ping') === true);
    socket.destroy();
    const bytes = Buffer.concat(chunks);
    for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
      if (bytes[at + 3] !== data) continue;
      const payload = bytes.subarray(at + 9, at + 9 + bytes.readUIntBE(at, 3));
      foreign += payload.filter((byte) => byte !== 0x61).length;
    }
  }
  expect(foreign).toBe(0);
});
