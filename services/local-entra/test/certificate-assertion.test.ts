import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { makeAssertion, makeCertificate, thumbprint, type CertifiedKey } from './assertion.ts';
import { postForm, type Answer } from './https-client.ts';

const tenant = 'aaaa0000-0000-4000-8000-000000000001';
const clientId = 'aaaa0000-0000-4000-8000-000000000002';
const dayMs = 86_400_000;

let entra: LocalEntra;
let pair: CertifiedKey;
let second: CertifiedKey;
let old: CertifiedKey;
beforeAll(async () => {
  [pair, second, old] = await Promise.all([
    makeCertificate(),
    makeCertificate(),
    makeCertificate(Date.now() - 1900 * dayMs),
  ]);
  entra = await startLocalEntra({
    seed: {
      tenants: [
        {
          id: tenant,
          displayName: 'Certificates',
          domains: ['certificates.test'],
          applications: [
            { name: 'api', identifierUris: ['api://api'], requestedAccessTokenVersion: 2 },
            {
              name: 'client',
              appId: clientId,
              certificates: [pair, second, old].map(({ certificate }) => ({ pem: certificate })),
            },
          ],
        },
      ],
    },
  });
});
afterAll(() => entra.close());

const send = (assertion: string): Promise<Answer> =>
  postForm(entra, `/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'client_credentials',
    client_id: clientId,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
    scope: 'api://api/.default',
  });
const audience = (): string => `${entra.origin}/${tenant}/oauth2/v2.0/token`;
const sendWith = (options: Partial<Parameters<typeof makeAssertion>[1]>, signer = pair): Promise<Answer> =>
  send(makeAssertion(signer, { clientId, audience: audience(), ...options }));

describe('a certificate assertion', () => {
  test('gives a token whose client is authenticated by certificate', async () => {
    const { decodeJwt } = await import('jose');
    const { status, body } = await sendWith({});
    expect(status).toBe(200);
    expect(decodeJwt(String(body['access_token']))).toMatchObject({ azp: clientId, azpacr: '2' });
  });

  test('is accepted again until it ends', async () => {
    const assertion = makeAssertion(pair, { clientId, audience: audience() });
    expect((await send(assertion)).status).toBe(200);
    expect((await send(assertion)).status).toBe(200);
  });

  test('may name the certificate by SHA-1, padded, with RS256', async () => {
    const header = { alg: 'RS256', typ: 'JWT', x5t: `${thumbprint(pair.certificate, 'sha1')}=` };
    expect((await sendWith({ header })).status).toBe(200);
  });

  test.each([['oauth2/token'], ['v2.0'], ['oauth2/v2.0/token']])('may be for %s, by domain', async (path) => {
    expect((await sendWith({ audience: `${entra.origin}/certificates.test/${path}` })).status).toBe(200);
  });

  test('of another registered certificate does not pass under this name', async () => {
    const header = { alg: 'PS256', typ: 'JWT', 'x5t#S256': thumbprint(pair.certificate, 'sha256') };
    const { body } = await sendWith({ header }, second);
    expect(body['error_codes']).toEqual([700027]);
    expect(body['error_description']).toContain('contains an invalid signature');
  });

  test('of an expired certificate says so', async () => {
    const { body } = await sendWith({}, old);
    expect(body['error_codes']).toEqual([700027]);
    expect(body['error_description']).toContain(
      'The certificate used to sign the client assertion is expired.',
    );
  });

  const now = Math.floor(Date.now() / 1000);
  test.each<[string, Parameters<typeof sendWith>[0], number]>([
    ['of an unknown certificate', { header: { alg: 'PS256', 'x5t#S256': 'AAAA' } }, 700027],
    ['without a thumbprint', { header: { alg: 'PS256' } }, 700027],
    ['with another algorithm', { header: { alg: 'HS256' } }, 50027],
    ['with a critical header', { header: { alg: 'PS256', crit: ['b64'], b64: false } }, 50027],
    ['that has ended', { nowSeconds: now - 3600 }, 700024],
    ['that has not begun', { nowSeconds: now + 3600 }, 700024],
    ['without an end', { claims: { exp: undefined } }, 50027],
    ['of another client', { claims: { iss: tenant, sub: tenant } }, 700021],
    ['for another audience', { audience: 'https://login.example/token' }, 700023],
    ['for another tenant', { audience: 'https://localhost/other/oauth2/v2.0/token' }, 700023],
  ])('%s is refused', async (_, options, number) => {
    const { body } = await sendWith(options);
    expect(body['error_codes']).toEqual([number]);
  });

  test.each([['garbage'], ['a.b.c'], ['e30.e30'], ['W10.W10.AA'], ['....']])(
    '%j is malformed',
    async (text) => {
      expect((await send(text)).body['error_codes']).toEqual([50027]);
    },
  );
});
