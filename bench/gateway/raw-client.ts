import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A GET in bytes. */
export const requestBytes = (url: URL, headers: Readonly<Record<string, string>>): Buffer => {
  const lines = Object.entries({ host: url.host, ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return Buffer.from(`GET ${url.pathname} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1');
};

export const open = async (url: URL): Promise<Socket> => {
  const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
  await once(socket, 'connect');
  return socket;
};

/** Calls back with the end of each answer, which has to be a 200 with a length. */
export const onEachAnswer = (socket: Socket, answered: () => void, failed: (error: Error) => void): void => {
  let head = '';
  let missing = 0;
  socket.on('data', (chunk: Buffer) => {
    if (missing === 0) {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end === -1) return;
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
      if (!head.startsWith('HTTP/1.1 200 ') || length === undefined)
        failed(new Error(`was answered ${head}`));
      missing = Number(length) + end + 4 - head.length;
      head = '';
    } else missing -= chunk.length;
    if (missing === 0) answered();
  });
  socket.on('error', failed);
  socket.on('close', () => failed(new Error('was closed by the other side')));
};
