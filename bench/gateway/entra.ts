import { createPublicKey, type webcrypto } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startLocalEntra } from '@countersign/local-entra';
import { Agent, fetch } from 'undici';

export const tenantId = '10ca10ca-0000-4000-8000-10ca10ca10ca';
export const apiClientId = 'a9100001-0000-4000-8000-000000000001';
export const role = 'access_as_application_API1';
const callerClientId = 'a9100002-0000-4000-8000-000000000002';

export interface Entra {
  origin: string;
  /** PEM of its authority, for who fetches its keys. */
  caFile: string;
  /** PEM of the key that signed the token, for who does not. */
  keyFile: string;
  /** An app-only token with the role, 1.3 kB as Entra's are. */
  token: string;
  close: () => Promise<void>;
}

/** A local Entra in this process; it has nothing to do while something is measured. */
export const startEntra = async (folder: string): Promise<Entra> => {
  const entra = await startLocalEntra();
  const token = await entra.forge({
    client: callerClientId,
    resource: apiClientId,
    roles: [role, 'Records.Read.All'],
    lifetimeSeconds: 6 * 3_600,
  });
  const network = new Agent({ connect: { ca: entra.ca } });
  const answer = await fetch(`${entra.origin}/${tenantId}/discovery/v2.0/keys`, { dispatcher: network });
  const { keys } = (await answer.json()) as { keys: (webcrypto.JsonWebKey & { kid: string })[] };
  await network.close();
  const [header = ''] = token.split('.');
  const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string };
  const key = keys.find((candidate) => candidate.kid === kid);
  if (!key) throw new Error('local-entra does not publish the key that it signs with');
  const caFile = join(folder, 'ca.pem');
  const keyFile = join(folder, 'key.pem');
  await writeFile(caFile, entra.ca);
  await writeFile(keyFile, createPublicKey({ key, format: 'jwk' }).export({ format: 'pem', type: 'spki' }));
  return { origin: entra.origin, caFile, keyFile, token, close: entra.close };
};
