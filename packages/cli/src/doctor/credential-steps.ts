import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  type ClientCredential,
  type EntraNetwork,
  IdentityUnavailableError,
  TokenAcquisitionError,
} from '@countersign/shared-auth';
import { explain } from '../explain/explain-command.ts';
import type { Target } from '../target.ts';
import { claimsOf, takeTokenFor } from '../token.ts';
import { aadstsRemedies } from './aadsts-remedies.ts';
import { type AuthorityFacts, guidPattern } from './authority-steps.ts';
import { Fault, type Passed, type Step } from './examination.ts';

const dayMs = 86_400_000;
const soonDays = 30;

const read = async (path: string, what: string): Promise<string> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Fault(
      `${what} ${path} cannot be read (${code}).`,
      code === 'EACCES'
        ? 'Let the user that the service runs as read it.'
        : 'Mount or write it there, or correct the path.',
    );
  }
};

const daysLeft = (endMs: number, what: string, remedy: string): Passed => {
  const days = Math.floor((endMs - Date.now()) / dayMs);
  if (endMs <= Date.now()) throw new Fault(`${what} has expired ${-days} days ago.`, remedy);
  return { detail: `${what}, ${days} days left`, ...(days < soonDays && { warning: remedy }) };
};

const examineSecret = (secret: string, what: string, endsAt: string | undefined): Passed => {
  const text = secret.trim();
  if (text === '')
    throw new Fault(`${what} is empty.`, 'Put the secret in: countersign provision rotate-secret');
  if (guidPattern.test(text)) {
    throw new Fault(
      `${what} is a GUID: that is the id of a secret, and not its value.`,
      'The portal shows the value once, when the secret is made: make another one (countersign provision rotate-secret).',
    );
  }
  if (endsAt === undefined)
    return { detail: `${what}; when it ends, only Graph knows (countersign provision verify)` };
  return daysLeft(Date.parse(endsAt), what, 'Rotate it: countersign provision rotate-secret');
};

const certificatePattern = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const examineCertificate = async (path: string, password: string | undefined): Promise<Passed> => {
  const pem = await read(path, 'The certificate');
  if (!pem.includes('-----BEGIN')) return { detail: `${path}, a PFX: looked at when the token is taken` };
  let certificate: X509Certificate | undefined;
  try {
    const key = createPrivateKey({ key: pem, ...(password !== undefined && { passphrase: password }) });
    certificate = (pem.match(certificatePattern) ?? [])
      .map((each) => new X509Certificate(each))
      .find((each) => each.checkPrivateKey(key));
  } catch (error) {
    throw new Fault(
      `${path} cannot be used: ${(error as Error).message}.`,
      'It has to hold private key and certificate in PEM.',
    );
  }
  if (certificate === undefined)
    throw new Fault(
      `${path}: no certificate in it belongs to its private key.`,
      'Put both of one pair into the file.',
    );
  return daysLeft(
    certificate.validToDate.getTime(),
    `certificate ${certificate.fingerprint.replaceAll(':', '')}`,
    'Make another one, register it (countersign provision apply), then replace the file.',
  );
};

const examineFederatedToken = async (path: string): Promise<Passed> => {
  const claims = claimsOf((await read(path, 'The federated token')).trim());
  const { iss, sub, aud, exp } = claims;
  if (typeof exp !== 'number')
    throw new Fault(
      `${path} holds no JWT.`,
      'It is written by the platform: check the volume that projects it.',
    );
  if (exp * 1000 <= Date.now()) {
    throw new Fault(
      `The federated token in ${path} has expired.`,
      'The platform no longer renews it: check the projected volume, or restart the pod.',
    );
  }
  return { detail: `issuer ${String(iss)}, subject ${String(sub)}, audience ${JSON.stringify(aud)}` };
};

const examineCredential = (
  credential: ClientCredential,
  { secretEndsAt }: Target,
): Passed | Promise<Passed> => {
  if ('clientSecret' in credential)
    return examineSecret(credential.clientSecret, 'AZURE_CLIENT_SECRET', secretEndsAt);
  if ('clientSecretFile' in credential) {
    const { clientSecretFile: path } = credential;
    return read(path, 'The client secret').then((secret) =>
      examineSecret(secret, `the secret in ${path}`, secretEndsAt),
    );
  }
  if ('certificateFile' in credential)
    return examineCertificate(credential.certificateFile, credential.certificatePassword);
  if ('federatedTokenFile' in credential) return examineFederatedToken(credential.federatedTokenFile);
  return { detail: 'managed identity' };
};

/** Words for the credential at fault, which the AADSTS number alone does not have. */
const tokenFault = (error: unknown, { clientId, tenantId, scope }: Target): Fault => {
  if (error instanceof TokenAcquisitionError) {
    const { aadsts, explanation, error: oauthError } = error.refusal;
    const number = aadsts === undefined ? oauthError : `AADSTS${aadsts}`;
    const remedy =
      aadstsRemedies[aadsts ?? 0] ?? 'Look the number up at https://login.microsoftonline.com/error.';
    return new Fault(
      `${number}: ${explanation}`,
      `${remedy} (client ${clientId}, tenant ${tenantId}, scope ${scope})`,
    );
  }
  if (error instanceof IdentityUnavailableError) {
    const isThrottled = error.logFields['throttled'] === true;
    return new Fault(
      `No token now: ${isThrottled ? 'the authority asks to be left alone' : 'the token endpoint does not answer'}.`,
      isThrottled
        ? `Wait ${error.retryAfterSeconds} s; find out who does not cache tokens.`
        : 'The authority is in trouble: warm services go on until their tokens end.',
    );
  }
  return new Fault((error as Error).message, 'Set what is missing.');
};

export interface TokenFacts {
  accessToken?: string;
}

/** The credential, the token that it gets, and whether the API will take that token. */
export const credentialSteps = (
  target: Target,
  network: EntraNetwork,
  authority: AuthorityFacts,
  facts: TokenFacts,
): Step[] => [
  {
    name: 'credential',
    title: 'credential',
    needs: ['settings'],
    async examine() {
      const [first] = target.credential;
      if (first === undefined) {
        throw new Fault(
          'No credential is set.',
          'Set AZURE_CLIENT_SECRET_FILE, AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE.',
        );
      }
      return examineCredential(first, target);
    },
  },
  {
    name: 'token',
    title: 'token of the caller',
    needs: ['tls', 'discovery', 'clock', 'credential'],
    async examine() {
      try {
        const { accessToken, expiresAt } = await takeTokenFor(target, network);
        facts.accessToken = accessToken;
        return { detail: `valid for ${Math.round((expiresAt.getTime() - Date.now()) / 60_000)} min` };
      } catch (error) {
        throw tokenFault(error, target);
      }
    },
  },
  {
    name: 'policy',
    title: "the API's policy on the token",
    needs: ['token'],
    async examine() {
      const { accessToken = '' } = facts;
      const { keys } = authority;
      const explanation = explain(accessToken, target, { keys, method: 'GET', nowMs: Date.now() });
      const failed = explanation.checks.find(({ verdict }) => verdict === 'failed');
      if (failed !== undefined) {
        throw new Fault(
          `The API refuses it: ${failed.check}. ${failed.cause ?? ''}`,
          policyRemedies[failed.check] ?? 'countersign token --claims shows what the token says.',
        );
      }
      const { roles, ver } = claimsOf(accessToken);
      return { detail: `version ${String(ver)}, roles ${(roles as string[]).join(', ')}` };
    },
  },
];

const policyRemedies: Readonly<Record<string, string>> = {
  policy:
    'Grant the app role with admin consent (countersign provision apply), then get a new token: restart the caller, or wait until its token ends.',
  version:
    'Set api.requestedAccessTokenVersion to 2 on the API (countersign provision apply), then get a new token.',
  issuer:
    'Set api.requestedAccessTokenVersion to 2 on the API, and check authority and tenant on both sides.',
  audience: 'RECORDS_API_SCOPE and API_CLIENT_ID name two different APIs: make them the same.',
  signature:
    'The keys that are published do not fit the token: check that both come from the same authority.',
};
