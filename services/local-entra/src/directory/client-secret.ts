import { hash, randomInt, timingSafeEqual } from 'node:crypto';
import type { PasswordCredential } from './entities.ts';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~';

const randomText = (length: number): string =>
  Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');

/** Forty characters in the form that Entra's secrets have, `8Q~` at the fourth. About 220 bits. */
export const generateSecret = (): string => `${randomText(3)}8Q~${randomText(34)}`;

// A plain hash is enough for secrets that no dictionary holds, and a slow one would be the token endpoint's cost.
const digest = (keyId: string, secret: string): string => hash('sha256', `${keyId}:${secret}`, 'base64url');

/** What is kept of a secret: its hash, salted with the key id. */
export const hashSecret = (keyId: string, secret: string): string => digest(keyId, secret);

/** Whether a credential was made from this secret, in a time that does not depend on how much of it is right. */
export const matchesSecret = (credential: PasswordCredential, secret: string): boolean =>
  timingSafeEqual(Buffer.from(credential.hash), Buffer.from(digest(credential.keyId, secret)));
