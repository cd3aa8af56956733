import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { SecureContextOptions, Server } from 'node:tls';
import { ConfigError, type Logger } from '@countersign/service-kit';
import { watchFile } from './watch-file.ts';

/** A certificate, with those that lead to its authority, and its key: paths of PEM files. */
export interface KeyPairFiles {
  certificate: string;
  key: string;
}

/** The same as PEM texts. */
export interface KeyPair {
  certificate: string;
  key: string;
}

export const secureContextOf = ({ certificate, key }: KeyPair): SecureContextOptions => ({
  cert: certificate,
  key,
  minVersion: 'TLSv1.2',
});

/** @throws unless both are PEM, and belong together. */
const certificateOf = ({ certificate, key }: KeyPair): X509Certificate => {
  const leaf = new X509Certificate(certificate);
  if (!leaf.checkPrivateKey(createPrivateKey(key))) throw new Error('the key is not that of the certificate');
  return leaf;
};

/** @throws {ConfigError} unless the files hold a certificate and its key. */
export const readKeyPair = (files: KeyPairFiles): KeyPair => {
  try {
    const pair = {
      certificate: readFileSync(files.certificate, 'utf8'),
      key: readFileSync(files.key, 'utf8'),
    };
    certificateOf(pair);
    return pair;
  } catch (error) {
    throw new ConfigError([
      `TLS_CERTIFICATE_FILE and TLS_KEY_FILE do not hold a certificate and its key in PEM (${(error as Error).message})`,
    ]);
  }
};

export interface FollowKeyPairOptions {
  files: KeyPairFiles;
  /** Those in use. */
  pair: KeyPair;
  server: Pick<Server, 'setSecureContext'>;
  logger: Logger;
}

/**
 * Gives a server each new pair that stands in the files, for the connections that come then. Whoever renews a certificate
 * writes two files, one after the other: until they belong together, the old pair stays.
 *
 * @returns stops following.
 */
export const followKeyPair = ({ files, pair, server, logger }: FollowKeyPairOptions): (() => void) => {
  let latest = pair;
  const follow = (part: keyof KeyPair): (() => void) =>
    watchFile({
      file: files[part],
      text: pair[part],
      onChange: (text) => {
        latest = { ...latest, [part]: text };
        try {
          const { validTo } = certificateOf(latest);
          server.setSecureContext(secureContextOf(latest));
          logger.info({ file: files[part], valid_to: validTo }, 'the certificate was renewed');
        } catch (error) {
          logger.warn({ file: files[part], err: error }, 'certificate and key do not fit; the old ones stay');
        }
      },
      onError: (error) =>
        logger.error(
          { file: files[part], err: error },
          'certificate or key cannot be read; the old ones stay',
        ),
    });
  const stops = [follow('certificate'), follow('key')];
  return () => {
    for (const stop of stops) stop();
  };
};
