import { hasBareLf, parseTrailers, ResponseSyntaxError } from './response-head.ts';

type State = 'size' | 'extension' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'trailers' | 'complete';

const maxSizeDigits = 8;
// For all chunks of a body together: one-byte chunks with long extensions are work without end (CVE-2023-39326).
const maxExtensionBytes = 16 * 1024;
const maxTrailerBytes = 8 * 1024;
const cr = 0x0d;
const lf = 0x0a;
const semicolon = 0x3b;

/** Reads a chunked body (RFC 9112 §7.1) from pieces cut anywhere, one run of data at a time. */
export class ChunkedBody {
  /** Where in the piece the last call found data. */
  data: { start: number; end: number } | undefined;
  /** Set when the body is complete. */
  trailers: string[] | undefined;
  #state: State = 'size';
  #size = 0;
  #sizeDigits = 0;
  #extensionBytes = 0;
  #trailerBytes = Buffer.alloc(0);

  /**
   * Reads on to the end of a run of data, of the body or of the piece.
   *
   * @returns where it stopped.
   * @throws {ResponseSyntaxError}
   */
  execute(piece: Buffer, from: number): number {
    this.data = undefined;
    let at = from;
    while (at < piece.length) {
      if (this.#state === 'data') {
        const end = Math.min(piece.length, at + this.#size);
        this.#size -= end - at;
        this.data = { start: at, end };
        if (this.#size === 0) this.#state = 'data-cr';
        return end;
      }
      if (this.#state === 'trailers') return this.#readTrailers(piece, at);
      this.#readFraming(piece[at] as number);
      at += 1;
    }
    return at;
  }

  #readFraming(byte: number): void {
    switch (this.#state) {
      case 'size':
        this.#readSize(byte);
        return;
      case 'extension':
        this.#readExtension(byte);
        return;
      case 'size-lf':
        expectByte(byte, lf);
        this.#sizeDigits = 0;
        this.#state = this.#size === 0 ? 'trailers' : 'data';
        return;
      case 'data-cr':
        expectByte(byte, cr);
        this.#state = 'data-lf';
        return;
      default:
        expectByte(byte, lf);
        this.#state = 'size';
    }
  }

  #readSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#sizeDigits += 1;
      if (this.#sizeDigits > maxSizeDigits) throw new ResponseSyntaxError('chunk size too long');
      this.#size = this.#size * 16 + digit;
    } else if (this.#sizeDigits === 0) throw new ResponseSyntaxError('invalid chunk size');
    else if (byte === cr) this.#state = 'size-lf';
    else if (byte === semicolon) this.#state = 'extension';
    else throw new ResponseSyntaxError('invalid chunk size');
  }

  #readExtension(byte: number): void {
    this.#extensionBytes += 1;
    if (this.#extensionBytes > maxExtensionBytes) throw new ResponseSyntaxError('chunk extensions too long');
    if (byte === cr) this.#state = 'size-lf';
    else if ((byte < 0x20 && byte !== 0x09) || byte === 0x7f) {
      throw new ResponseSyntaxError('invalid chunk extension');
    }
  }

  #readTrailers(piece: Buffer, from: number): number {
    const known = this.#trailerBytes.length;
    const bytes =
      known === 0 ? piece.subarray(from) : Buffer.concat([this.#trailerBytes, piece.subarray(from)]);
    const end = startsWithCrLf(bytes) ? -2 : bytes.indexOf('\r\n\r\n', Math.max(0, known - 3), 'latin1');
    const isComplete = end !== -1;
    if ((isComplete ? end : bytes.length) > maxTrailerBytes)
      throw new ResponseSyntaxError('trailers too large');
    if (!isComplete) {
      if (hasBareLf(bytes, 0, known)) throw new ResponseSyntaxError('a line that ends in a bare LF');
      this.#trailerBytes = Buffer.from(bytes);
      return piece.length;
    }
    this.trailers = parseTrailers(bytes.toString('latin1', 0, end + 2));
    this.#state = 'complete';
    return from + end + 4 - known;
  }
}

const expectByte = (byte: number, expected: number): void => {
  if (byte !== expected) throw new ResponseSyntaxError('malformed chunk');
};

const hexDigit = (byte: number): number => {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lowerCase = byte | 0x20;
  return lowerCase >= 0x61 && lowerCase <= 0x66 ? lowerCase - 0x57 : -1;
};

const startsWithCrLf = (bytes: Buffer): boolean => bytes[0] === cr && bytes[1] === lf;
