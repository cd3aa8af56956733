/** The upstream sent what is not a strict HTTP/1.1 response. */
export class ResponseSyntaxError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ResponseSyntaxError';
  }
}

/** How the end of a body is found: after so many bytes, by its chunks, or by the end of the connection. */
export type BodyFraming = number | 'chunked' | 'until-close';

export interface ResponseHead {
  status: number;
  reason: string;
  headers: string[];
  framing: BodyFraming;
  /** The connection may carry another request. */
  persistent: boolean;
  /** For how long the upstream keeps an idle connection, in seconds; undefined when it does not say. */
  keepAliveSeconds: number | undefined;
}

export const maxHeadBytes = 32 * 1024;
const maxFields = 200;

// One pass over the whole head, and with it no bare CR or LF, no obs-fold, no space around a name, no control
// character: each of them is read in two ways by two recipients (RFC 9112 §2.2, §5.1, §5.2).
const fieldLines = String.raw`(?:[!#$%&'*+\-.^_\x60|~\dA-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*`;
const headShape = new RegExp(
  String.raw`^HTTP/1\.[01] [1-9]\d\d(?: [\t\x20-\x7e\x80-\xff]*)?\r\n${fieldLines}$`,
);
const trailersShape = new RegExp(`^${fieldLines}$`);

// More digits than a double holds exactly would be rounded, and leading zeros are octal to some.
const canonicalLength = /^(?:0|[1-9]\d{0,14})$/;

/**
 * Reads a head: status line and field lines, each with its CRLF, without the empty line.
 *
 * @throws {ResponseSyntaxError}
 */
export const parseHead = (text: string): ResponseHead => {
  if (!headShape.test(text)) throw new ResponseSyntaxError('malformed head');
  const lineEnd = text.indexOf('\r\n');
  const isVersion10 = text.charCodeAt(7) === 0x30;
  const head: ResponseHead = {
    status: Number(text.slice(9, 12)),
    reason: text.slice(13, lineEnd),
    headers: [],
    framing: 'until-close',
    persistent: false,
    keepAliveSeconds: undefined,
  };
  readFields(text, lineEnd + 2, head.headers);
  applyFraming(head, isVersion10);
  return head;
};

/**
 * Reads the trailers of a chunked body: field lines, each with its CRLF, without the empty line.
 *
 * @throws {ResponseSyntaxError}
 */
export const parseTrailers = (text: string): string[] => {
  if (!trailersShape.test(text)) throw new ResponseSyntaxError('malformed trailers');
  const trailers: string[] = [];
  readFields(text, 0, trailers);
  return trailers;
};

/** Whether a line in bytes from `start` on ends in LF alone; those before `known` were looked at earlier. */
export const hasBareLf = (bytes: Buffer, start: number, known: number): boolean => {
  for (let at = bytes.indexOf(0x0a, start + known); at >= 0; at = bytes.indexOf(0x0a, at + 1)) {
    if (at === start || bytes[at - 1] !== 0x0d) return true;
  }
  return false;
};

const readFields = (text: string, from: number, fields: string[]): void => {
  let start = from;
  while (start < text.length) {
    const end = text.indexOf('\r\n', start);
    const colon = text.indexOf(':', start);
    fields.push(text.slice(start, colon), withoutPadding(text, colon + 1, end));
    start = end + 2;
  }
  if (fields.length > maxFields * 2) throw new ResponseSyntaxError('too many fields');
};

// Not trim(): that also takes U+00A0, which is an ordinary octet here.
const withoutPadding = (text: string, from: number, to: number): string => {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
};

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09;

/** RFC 9112 §6.3, without its tolerance: whatever frames a body in two ways is refused. */
const applyFraming = (head: ResponseHead, isVersion10: boolean): void => {
  const { headers } = head;
  let length: string | undefined;
  let coding: string | undefined;
  let connection = '';
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    const value = headers[index + 1] as string;
    // By length first: of most fields nothing more has to be looked at.
    if (name.length === 14 && isNamed(name, 'content-length')) {
      if (length !== undefined) throw new ResponseSyntaxError('more than one Content-Length');
      length = value;
    } else if (name.length === 17 && isNamed(name, 'transfer-encoding')) {
      if (coding !== undefined) throw new ResponseSyntaxError('more than one Transfer-Encoding');
      coding = value;
    } else if (name.length === 10 && isNamed(name, 'connection')) connection += `,${value.toLowerCase()},`;
    else if (name.length === 10 && isNamed(name, 'keep-alive'))
      head.keepAliveSeconds = keepAliveSeconds(value);
  }
  head.persistent = !closeOption.test(connection) && (!isVersion10 || keepAliveOption.test(connection));

  if (coding !== undefined) {
    if (length !== undefined) throw new ResponseSyntaxError('both Content-Length and Transfer-Encoding');
    if (isVersion10) throw new ResponseSyntaxError('Transfer-Encoding in HTTP/1.0');
    if (!isNamed(coding, 'chunked')) throw new ResponseSyntaxError('a transfer coding other than chunked');
    head.framing = 'chunked';
  } else if (length !== undefined) {
    if (!canonicalLength.test(length)) throw new ResponseSyntaxError('invalid Content-Length');
    head.framing = Number(length);
  }
};

const isNamed = (text: string, lowerCase: string): boolean =>
  text === lowerCase || text.toLowerCase() === lowerCase;

const closeOption = /,[\t ]*close[\t ]*,/;
const keepAliveOption = /,[\t ]*keep-alive[\t ]*,/;

const keepAliveSeconds = (value: string): number | undefined => {
  const seconds = /(?:^|[,\s])timeout[\t ]*=[\t ]*"?(\d{1,6})/i.exec(value)?.[1];
  return seconds === undefined ? undefined : Number(seconds);
};
