import type { ServerResponse } from 'node:http';
import { sortResponseHeaders } from '../headers/forwarded-headers.ts';
import type { Exchange, ResponseSink, UpstreamError } from '../transport/transport.ts';

/** Bodies up to this go out with their head in one write. */
const smallBodyBytes = 16 * 1024;

export interface SinkOptions {
  response: ServerResponse;
  /** Headers that the gateway adds, after those of the upstream. */
  added: readonly string[];
  /** Lower-case names of headers to remove, those that `added` replaces among them. */
  stripped: ReadonlySet<string>;
  onHead: (status: number) => void;
  onDone: (error?: UpstreamError) => void;
}

/**
 * Writes an upstream's answer straight to the client's response. A class, because there is one per request: its methods
 * are shared, where closures would be made anew.
 */
export class ResponseWriter implements ResponseSink {
  /** Set by whoever sent the request. */
  exchange: Exchange | undefined;
  readonly #options: SinkOptions;
  /** Body bytes that the head promised; -1 when it promised none. */
  #promised = -1;
  #headWritten = false;
  #status = 0;
  #reason = '';
  #headers: string[] = [];

  constructor(options: SinkOptions) {
    this.#options = options;
  }

  onInformation(status: number, headers: string[]): void {
    if (status !== 103) return;
    const links = headers.filter(
      (_, index) => index % 2 === 1 && headers[index - 1]?.toLowerCase() === 'link',
    );
    if (links.length > 0) this.#options.response.writeEarlyHints({ link: links });
  }

  onHead(status: number, reason: string, rawHeaders: string[]): void {
    const { response, added, stripped, onHead } = this.#options;
    const sorted = sortResponseHeaders(rawHeaders);
    const headers = this.#headers;
    response.sendDate = true;
    for (let index = 0; index < sorted.length; index += 2) {
      const name = sorted[index] as string;
      const key = name.toLowerCase();
      if (stripped.has(key)) continue;
      if (key === 'date') response.sendDate = false;
      else if (key === 'content-length') this.#promised = Number(sorted[index + 1]);
      headers.push(name, sorted[index + 1] as string);
    }
    for (const part of added) headers.push(part);
    this.#status = status;
    this.#reason = reason;
    onHead(status);
    // The head waits for the first piece of the body, which most often is the only one.
    if (this.#promised === -1 || this.#promised > smallBodyBytes) this.#writeHead();
  }

  onData(chunk: Buffer): boolean {
    const { response } = this.#options;
    if (!this.#headWritten) {
      this.#writeHead();
      if (chunk.length === this.#promised) {
        // Node joins a latin1 string with the head into one write; a buffer would be a second one.
        response.end(chunk.toString('latin1'), 'latin1');
        return true;
      }
    }
    return response.write(chunk);
  }

  onEnd(trailers: string[]): void {
    const { response, onDone } = this.#options;
    if (!this.#headWritten) this.#writeHead();
    if (!response.writableEnded) {
      if (trailers.length > 0) response.addTrailers(Object.fromEntries(asPairs(trailers)));
      response.end();
    }
    onDone();
  }

  onError(error: UpstreamError): void {
    const { response, onDone } = this.#options;
    // Half an answer must not look whole: cut the connection.
    if (this.#headWritten || error.headReceived) response.destroy();
    onDone(error);
  }

  #writeHead(): void {
    this.#headWritten = true;
    const { response } = this.#options;
    // HTTP/2 has no reason phrase, and warns of one.
    if ('stream' in response) response.writeHead(this.#status, this.#headers);
    else response.writeHead(this.#status, this.#reason, this.#headers);
  }
}

const asPairs = (flat: readonly string[]): [string, string][] =>
  Array.from({ length: flat.length / 2 }, (_, index) => [
    flat[2 * index] as string,
    flat[2 * index + 1] as string,
  ]);
