import { hash } from 'node:crypto';

/** A GUID that is always the same for the same words, so that ids survive a restart without being written down. */
export const stableGuid = (...words: readonly string[]): string => {
  const digest = Buffer.from(hash('sha256', words.join('\n'), 'hex'), 'hex');
  digest[6] = (digest.readUInt8(6) & 0x0f) | 0x80; // version 8: ids made by a rule of one's own (RFC 9562 §5.8)
  digest[8] = (digest.readUInt8(8) & 0x3f) | 0x80;
  return digest.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
};
