import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { ConfigError } from '@countersign/service-kit';
import type { Clock } from '../clock.ts';
import type { CertifiedKey } from './issue-certificate.ts';
import { readIfPresent, writeFileAtomically } from './private-file.ts';

/** What the TLS server shows, and what its clients trust. PEM. */
export interface ServerIdentity {
  key: string;
  /** The server's certificate. */
  certificate: string;
  /** The certificate of the authority that issued it. */
  ca: string;
}

/** A certificate that ends within this time counts as ended, so that it lasts as long as a process usually does. */
const renewBeforeMs = 30 * 86_400_000;

/** Undefined for what is no certificate with its own key, such as a file that was cut short or a pair half renewed. */
const readPair = ({ key, certificate }: CertifiedKey): X509Certificate | undefined => {
  try {
    const read = new X509Certificate(certificate);
    return read.checkPrivateKey(createPrivateKey(key)) ? read : undefined;
  } catch {
    return undefined;
  }
};

const stillGood = (pair: CertifiedKey, nowMs: number): boolean => {
  const certificate = readPair(pair);
  if (!certificate) return false;
  const { validFromDate, validToDate } = certificate;
  return validFromDate.getTime() <= nowMs && validToDate.getTime() - renewBeforeMs > nowMs;
};

const load = async (folder: string | undefined, name: string): Promise<CertifiedKey | undefined> => {
  if (folder === undefined) return undefined;
  const [key, certificate] = await Promise.all([
    readIfPresent(join(folder, `${name}.key`)),
    readIfPresent(join(folder, `${name}.pem`)),
  ]);
  return key !== undefined && certificate !== undefined ? { key, certificate } : undefined;
};

const save = async (folder: string | undefined, name: string, pair: CertifiedKey): Promise<void> => {
  if (folder === undefined) return;
  await writeFileAtomically(join(folder, `${name}.key`), pair.key);
  await writeFileAtomically(join(folder, `${name}.pem`), pair.certificate, 0o644);
};

const authorityIn = async (folder: string | undefined, nowMs: number): Promise<CertifiedKey> => {
  const known = await load(folder, 'ca');
  if (known && !readPair(known)) {
    // A new authority would be trusted by nobody who trusts this one; that is for a person to decide.
    throw new ConfigError([
      `the files ca.key and ca.pem in ${folder} are damaged: delete both to have new ones made`,
    ]);
  }
  if (known && stillGood(known, nowMs)) return known;
  const { issueAuthority } = await import('./issue-certificate.ts');
  const made = await issueAuthority(nowMs);
  await save(folder, 'ca', made);
  return made;
};

const isFor = (pair: CertifiedKey, hosts: readonly string[], authority: CertifiedKey): boolean => {
  const certificate = new X509Certificate(pair.certificate);
  return (
    certificate.verify(new X509Certificate(authority.certificate).publicKey) &&
    hosts.every(
      (host) => (isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host)) !== undefined,
    )
  );
};

/**
 * The server's certificate, for the public host and for every loopback name, from a certificate authority of
 * local-entra's own. Both are made when they are missing, about to end, or for another host.
 *
 * @param options.folder where both are kept (`ca.key`, `ca.pem`, `tls.key`, `tls.pem`); without it they live in memory.
 * @param options.host the public host, without port.
 */
export const createServerIdentity = async (options: {
  folder?: string | undefined;
  host: string;
  clock: Clock;
}): Promise<ServerIdentity> => {
  const { folder, clock } = options;
  const nowMs = clock();
  const host = options.host.replace(/^\[(.*)\]$/, '$1');
  const hosts = [...new Set([host, 'localhost', '127.0.0.1', '::1'])];
  const authority = await authorityIn(folder, nowMs);
  const known = await load(folder, 'tls');
  if (known && stillGood(known, nowMs) && isFor(known, hosts, authority)) {
    return { ...known, ca: authority.certificate };
  }
  const { issueServerCertificate } = await import('./issue-certificate.ts');
  const names = { dns: hosts.filter((name) => !isIP(name)), ip: hosts.filter((name) => isIP(name)) };
  const made = await issueServerCertificate(authority, names, nowMs);
  await save(folder, 'tls', made);
  return { ...made, ca: authority.certificate };
};
