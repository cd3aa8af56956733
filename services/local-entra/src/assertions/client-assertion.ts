import { StsError } from '../sts-errors/sts-error.ts';

/** A client assertion (RFC 7523), decoded and not yet believed. */
export interface ClientAssertion {
  header: Readonly<Record<string, unknown>>;
  claims: Readonly<Record<string, unknown>>;
  signingInput: Buffer;
  signature: Buffer;
}

const base64url = /^[\w-]+$/;

const parseObject = (part: string): Record<string, unknown> => {
  const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('not an object');
  return value as Record<string, unknown>;
};

/** @throws {StsError} for anything but a compact JWS of two JSON objects and a signature. */
export const decodeAssertion = (text: string): ClientAssertion => {
  const parts = text.split('.');
  const [header = '', claims = '', signature = ''] = parts;
  try {
    if (parts.length !== 3 || !parts.every((part) => base64url.test(part))) throw new TypeError('not a JWS');
    const decoded = parseObject(header);
    // RFC 7515 §4.1.11: none is understood here.
    if ('crit' in decoded) throw new TypeError('critical header');
    return {
      header: decoded,
      claims: parseObject(claims),
      signingInput: Buffer.from(`${header}.${claims}`),
      signature: Buffer.from(signature, 'base64url'),
    };
  } catch {
    throw new StsError('malformedAssertion');
  }
};

/** A claim that should be text. What is none matches nothing, and is never turned into text by its own rules. */
export const textOf = (claim: unknown): string => (typeof claim === 'string' ? claim : '');

/** Clocks of clients may be off by this much. */
const skewSeconds = 300;

/** The end of an assertion may be this far ahead. */
const maxSecondsAhead = 86_400 + skewSeconds;

const iso = (seconds: unknown): string => {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
};

/** @throws {StsError} unless the assertion is in force. It may be used again until it ends, as clients do. */
export const checkAssertionTimes = ({ claims }: ClientAssertion, nowMs: number): void => {
  const { exp, nbf, iat } = claims;
  const from = nbf ?? iat ?? 0;
  const nowSeconds = nowMs / 1000;
  if (typeof exp !== 'number' || typeof from !== 'number') throw new StsError('malformedAssertion');
  // A proof that is good for years is a password.
  const isShort = exp <= nowSeconds + maxSecondsAhead;
  if (isShort && from - skewSeconds <= nowSeconds && nowSeconds < exp + skewSeconds) return;
  throw new StsError('assertionNotInForce', {
    now: new Date(nowMs).toISOString(),
    from: iso(from),
    exp: iso(exp),
  });
};
