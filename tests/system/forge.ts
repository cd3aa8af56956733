import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  X509Certificate,
} from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { localApplications, localTenantId } from '@countersign/cli';

type Json = Readonly<Record<string, unknown>>;

const encode = (value: Json): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Makes tokens with the true key of a running local-entra, so that each can be wrong in exactly one way. */
export const openForge = async (dataFolder: string, entraOrigin: string) => {
  const file = join(dataFolder, 'local-entra', 'signing-keys.json');
  const stored = JSON.parse(await readFile(file, 'utf8')) as {
    current: number;
    keys: { key: string; certificate: string }[];
  };
  const { key, certificate } = stored.keys[stored.current] as { key: string; certificate: string };
  const privateKey = createPrivateKey(key);
  const publicKey = createPublicKey(privateKey).export({ format: 'pem', type: 'spki' });
  const kid = createHash('sha1').update(new X509Certificate(certificate).raw).digest('base64url');
  const now = Math.floor(Date.now() / 1000);
  const header = { typ: 'JWT', alg: 'RS256', kid };
  const claims = {
    aud: localApplications.api1,
    iss: `${entraOrigin}/${localTenantId}/v2.0`,
    iat: now - 300,
    nbf: now - 300,
    exp: now + 3_600,
    azp: localApplications.api2,
    azpacr: '1',
    idtyp: 'app',
    oid: '0b0b0b0b-0000-4000-8000-000000000002',
    sub: '0b0b0b0b-0000-4000-8000-000000000002',
    tid: localTenantId,
    roles: ['access_as_application_API1'],
    uti: 'forged',
    ver: '2.0',
  };
  const signedBy = (input: string, signer: (data: Buffer) => Buffer): string =>
    `${input}.${signer(Buffer.from(input)).toString('base64url')}`;
  const input = (changedClaims: Json, changedHeader: Json): string =>
    `${encode({ ...header, ...changedHeader })}.${encode({ ...claims, ...changedClaims })}`;

  return {
    now,
    /** Signed with the true key. */
    token: (changedClaims: Json = {}, changedHeader: Json = {}): string =>
      signedBy(input(changedClaims, changedHeader), (data) => sign('sha256', data, privateKey)),
    unsigned: (): string => `${input({}, { alg: 'none' })}.`,
    /** HS256 with the public key as the secret: the classic confusion of algorithms. */
    confused: (): string =>
      signedBy(input({}, { alg: 'HS256' }), (data) => createHmac('sha256', publicKey).update(data).digest()),
    /** Signed with a key that nobody publishes. */
    strange: (changedHeader: Json = {}): string => {
      const { privateKey: strangeKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      return signedBy(input({}, changedHeader), (data) => sign('sha256', data, strangeKey));
    },
  };
};

export type Forge = Awaited<ReturnType<typeof openForge>>;
