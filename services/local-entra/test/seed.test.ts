import { describe, expect, test } from '@jest/globals';
import { startLocalEntra } from '@countersign/local-entra';

const start = (seed: string): Promise<unknown> => startLocalEntra({ seed, seedName: 'seed.yaml' });
const head =
  'tenants:\n  - id: 10ca10ca-0000-4000-8000-10ca10ca10ca\n    displayName: Here\n    applications:\n';

describe('a seed that cannot be used is refused with line, field and reason:', () => {
  test.each([
    ['not YAML', 'tenants: [', /seed\.yaml, line 1: /],
    ['a list', '- 1', /seed\.yaml, line 1: the seed /],
    ['no tenants', 'tenants: []', /seed\.yaml, line 1: tenants /],
    ['no GUID', 'tenants:\n  - id: here\n    displayName: Here', /line 2: tenants\[0\]\.id must be a GUID/],
    [
      'an unknown field',
      `${head}      - name: a\n        roels: []`,
      /line 6: tenants\[0\]\.applications\[0\]\.roels is not a known field/,
    ],
    [
      'a duplicate name',
      `${head}      - name: a\n      - name: a`,
      /line 6: tenants\[0\]\.applications\[1\]\.name repeats the name "a" of tenants\.0\.applications\.0\.name/,
    ],
    [
      'a duplicate client id',
      `${head}      - name: a\n        appId: aaaa0000-0000-4000-8000-000000000001\n      - name: b\n        appId: AAAA0000-0000-4000-8000-000000000001`,
      /line 8: .*appId repeats the client id/,
    ],
    [
      'an unknown API in a grant',
      `${head}      - name: a\n        grantedRoles:\n          - { resource: b, role: c }`,
      /line 7: .*grantedRoles\[0\]\.resource names no application of this tenant: "b"/,
    ],
    [
      'an unknown role in a grant',
      `${head}      - name: a\n        grantedRoles:\n          - { resource: a, role: c }`,
      /line 7: .*grantedRoles\[0\]\.role names no app role of a: "c"/,
    ],
    [
      'a role for users only in a grant',
      `${head}      - name: a\n        appRoles: [{ value: c, allowedMemberTypes: [User] }]\n        grantedRoles:\n          - { resource: a, role: c }`,
      /line 8: .*grantedRoles\[0\]\.role names a role of a that is for users only: "c"/,
    ],
    [
      'the same grant twice',
      `${head}      - name: a\n        appRoles: [{ value: c }]\n        grantedRoles:\n          - { resource: a, role: c }\n          - { resource: a, role: c }`,
      /line 9: .*grantedRoles\[1\] repeats the grant of "c" on a/,
    ],
    [
      'the client id of Graph',
      `${head}      - name: a\n        appId: 00000003-0000-0000-c000-000000000000`,
      /line 6: .*appId must not be the client id of Microsoft Graph/,
    ],
    [
      'the App ID URI of Graph',
      `${head}      - name: a\n        identifierUris: ['https://graph.microsoft.com']`,
      /line 6: .*identifierUris\[0\] must not be that of Microsoft Graph/,
    ],
    [
      'an App ID URI that is no URI',
      `${head}      - name: a\n        identifierUris: [nonsense]`,
      /line 6: .*identifierUris\[0\] must be a URI/,
    ],
    [
      'two federated credentials for one subject',
      `${head}      - name: a\n        federatedCredentials:\n          - { name: x, issuer: i, subject: s }\n          - { name: y, issuer: i, subject: s }`,
      /line 8: .*federatedCredentials\[1\] repeats issuer and subject/,
    ],
    [
      'a secret that ends before it starts',
      `${head}      - name: a\n        secrets:\n          - value: v\n            startDateTime: 2030-01-01T00:00:00Z\n            endDateTime: 2029-01-01T00:00:00Z`,
      /line 9: .*secrets\[0\]\.endDateTime must be later than startDateTime/,
    ],
    [
      'a renewal after the end of the token',
      `${head}      - name: a\n        tokenLifetimeSeconds: 60\n        refreshInSeconds: 61`,
      /line 7: .*refreshInSeconds must be at most the life of a token, 60 seconds/,
    ],
    [
      'a broken certificate',
      `${head}      - name: a\n        certificates:\n          - pem: nonsense`,
      /line 7: .*certificates\[0\]\.pem must be a certificate in PEM/,
    ],
  ])('%s', async (_, seed, message) => {
    await expect(start(seed)).rejects.toThrow(message);
    await expect(start(seed)).rejects.toHaveProperty('name', 'ConfigError');
  });
});

test.each([
  ['http://localhost:8443', 'must start with https://'],
  ['https://login.microsoftonline.com', 'must not be a host of Microsoft'],
  ['https://sts.windows.net', 'must not be a host of Microsoft'],
  ['https://LOGIN.microsoftonline.com.', 'must not be a host of Microsoft'],
  ['https://localhost/path', 'must be scheme, host and port only'],
  ['nonsense', 'must start with https://'],
])('the origin %s is refused', async (origin, message) => {
  await expect(startLocalEntra({ origin })).rejects.toThrow(message);
});
