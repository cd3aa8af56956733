import { IncomingMessage } from 'node:http';
import { SortedRequestHeaders } from './headers/request-headers.ts';

type Headers = Readonly<Record<string, string | undefined>>;

/** Node's own, which makes an object of all headers. */
const { get: allHeaders, set } = Object.getOwnPropertyDescriptor(IncomingMessage.prototype, 'headers') as {
  get: (this: IncomingMessage) => Headers;
  set: (this: IncomingMessage, headers: Headers) => void;
};

/**
 * A request whose headers are sorted once. Before it hands a request over, Node looks for a few of its headers, and would
 * make an object of all of them for it. Whoever else looks by then, such as a subscriber of `http.server.request.start`,
 * sees those few as well.
 */
export class ClientRequest extends IncomingMessage {
  #sorted: SortedRequestHeaders | undefined;
  #asked: Headers | undefined;
  #isHandedOver = false;

  static {
    // By this, because the types have a plain property.
    Object.defineProperty(this.prototype, 'headers', {
      get(this: ClientRequest): Headers {
        return this.#isHandedOver ? allHeaders.call(this) : (this.#asked ??= askedByNode(this.#sort()));
      },
      set,
    });
  }

  /** All headers, sorted; from here on `headers` has all of them, too. */
  takeOver(): SortedRequestHeaders {
    this.#isHandedOver = true;
    return this.#sort();
  }

  #sort(): SortedRequestHeaders {
    this.#sorted ??= new SortedRequestHeaders(this.rawHeaders);
    return this.#sorted;
  }
}

/**
 * Whether there is a body, Node asks by the presence of a name. Not `te`, for which a client of HTTP/1.0 would get chunks, and
 * they are none of that version (RFC 9112 §7.1).
 */
const askedByNode = ({
  hosts,
  expect,
  upgrade,
  contentLength,
  transferEncoding,
}: SortedRequestHeaders): Headers => {
  const host = hosts[0];
  if (contentLength !== undefined) return { host, expect, upgrade, 'content-length': contentLength };
  if (transferEncoding !== undefined) return { host, expect, upgrade, 'transfer-encoding': transferEncoding };
  return { host, expect, upgrade };
};

/** Of any request, once Node has handed it over. */
export const sortedHeadersOf = (request: IncomingMessage): SortedRequestHeaders =>
  request instanceof ClientRequest ? request.takeOver() : new SortedRequestHeaders(request.rawHeaders);
