import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface RecordingUpstream extends AsyncDisposable {
  /** Host and port. */
  authority: string;
  /** Answers a request that it has read to its end. */
  answer: (socket: Socket, request: string) => void;
  /** What came since it last forgot, as bytes, a text for each connection that brought any. */
  heard(): string[];
  forget(): void;
  /** Of those connections, the ones that are open in the middle of a request. */
  unfinished(): number;
}

interface Recorded {
  bytes: string;
  /** Of a request that is not whole yet. */
  pending: string;
}

/** An upstream on a bare socket that keeps every byte, of whole requests and of others. */
export const startRecording = async (answer: RecordingUpstream['answer']): Promise<RecordingUpstream> => {
  const recorded = new Map<Socket, Recorded>();
  const server = createServer((socket) => {
    const record: Recorded = { bytes: '', pending: '' };
    recorded.set(socket, record);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1');
      record.bytes += text;
      record.pending += text;
      for (let length = lengthOf(record.pending); length > 0; length = lengthOf(record.pending)) {
        const request = record.pending.slice(0, length);
        record.pending = record.pending.slice(length);
        recording.answer(socket, request);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const recording: RecordingUpstream = {
    authority: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    answer,
    heard: () => [...recorded.values()].map(({ bytes }) => bytes).filter((bytes) => bytes !== ''),
    forget() {
      for (const [socket, record] of recorded) {
        if (socket.destroyed) recorded.delete(socket);
        else record.bytes = '';
      }
    },
    unfinished: () =>
      [...recorded].filter(
        ([socket, { bytes, pending }]) => bytes !== '' && pending !== '' && !socket.destroyed,
      ).length,
    async [Symbol.asyncDispose]() {
      for (const socket of recorded.keys()) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return recording;
};

/** Of the request that a text begins with; 0 when it is not whole, or none. */
const lengthOf = (text: string): number => {
  const bodyAt = text.indexOf('\r\n\r\n') + 4;
  if (bodyAt === 3) return 0;
  const head = text.slice(0, bodyAt);
  if (/^transfer-encoding: chunked\r$/im.test(head)) return endOfChunked(text, bodyAt);
  const end = bodyAt + Number(/^content-length: (\d+)\r$/im.exec(head)?.[1] ?? 0);
  return end <= text.length ? end : 0;
};

const endOfChunked = (text: string, from: number): number => {
  const sizeLine = /([\da-f]+)\r\n/iy;
  sizeLine.lastIndex = from;
  for (;;) {
    const size = Number.parseInt(sizeLine.exec(text)?.[1] ?? '', 16);
    const end = sizeLine.lastIndex + size;
    if (text.slice(end, end + 2) !== '\r\n') return 0;
    if (size === 0) return end + 2;
    sizeLine.lastIndex = end + 2;
  }
};
