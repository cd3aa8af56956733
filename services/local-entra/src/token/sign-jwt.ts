import { sign } from 'node:crypto';
import type { SigningKey } from '../certificates/signing-keys.ts';

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');

/** A compact JWS (RFC 7515 §7.1) signed with RS256. */
export const signJwt = (header: object, claims: object, key: SigningKey): string => {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), key.privateKey).toString('base64url')}`;
};
