import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { aksProblems, objectProblems } from './check-overlay.ts';
import { exampleSite, render } from './render.ts';
import { parseEnv } from './site.ts';

const delivered = readFileSync(new URL('../../k8s/overlays/aks/aks.env', import.meta.url), 'utf8');

test('the file as it is delivered has every value, each to be replaced', () => {
  expect(Object.keys(parseEnv(delivered))).toEqual(Object.keys(parseEnv(exampleSite)));
  expect(new Set(Object.values(parseEnv(delivered)))).toEqual(new Set(['replace-me']));
});

test('a placeholder that is left is refused by its name, but those of components that are left out', () => {
  const problems = aksProblems(delivered);
  expect(problems).toContain('aks.env: AZURE_TENANT_ID is still to be replaced');
  expect(problems).toHaveLength(16);
  expect(problems.join()).not.toContain('ALB_');
  const withAlb = aksProblems(delivered, { components: ['azure-alb', 'keda'] });
  expect(withAlb).toContain('aks.env: ALB_NAME is still to be replaced');
  expect(withAlb).toContain('aks.env: PROMETHEUS_ENDPOINT is still to be replaced');
  expect(withAlb.join()).not.toContain('CERTIFICATE_URI');
});

test.each([
  ['AZURE_TENANT_ID', 'contoso', 'must be a GUID'],
  [
    'GATEWAY_IMAGE',
    'example.azurecr.io/countersign/gateway:1.0',
    'must be an image of your registry by digest',
  ],
  ['DATABASE_CIDR', '10.1.4.0', 'must be a range such as 10.0.0.0/16'],
  ['INGRESS_CIDR', '0.0.0.0/0', 'must be no wider than /8'],
  [
    'DATABASE_URL',
    'postgres://user:password@host:5432/records',
    'must be postgres://user@host:port/database',
  ],
  [
    'RATE_LIMIT_STORE_URL',
    'redis://:password@example.redis.azure.net:10000',
    'must be rediss://<object id>@host:port',
  ],
  [
    'CERTIFICATE_URI',
    'https://example.vault.azure.net/certificates/a/1234',
    'must name a certificate without a version, so that rotation is followed',
  ],
])('%s may not be %s', (name, value, message) => {
  const site = exampleSite.replace(new RegExp(`^${name}=.*$`, 'm'), `${name}=${value}`);
  expect(aksProblems(site)).toEqual([`aks.env: ${name} ${message}`]);
});

test('what is filled in by half is refused, and told by what is left', () => {
  const half = delivered.replace(
    /^AZURE_TENANT_ID=.*$/m,
    `AZURE_TENANT_ID=${'1'.repeat(8)}-1111-4111-8111-${'1'.repeat(12)}`,
  );
  const problems = aksProblems(half);
  expect(problems).toHaveLength(15);
  expect(problems.join()).not.toContain('AZURE_TENANT_ID');
  const withoutLine = exampleSite.replace(/^HOST_NAME=.*\n/m, '');
  expect(aksProblems(withoutLine)).toEqual(['aks.env: HOST_NAME is missing']);
  expect(aksProblems(`${exampleSite}HOSTNAME=x\n`)).toEqual(['aks.env: Unrecognized key: "HOSTNAME"']);
});

test('a placeholder that no line replaces is refused', () => {
  const objects = render('aks', { site: exampleSite });
  const account = objects.find(({ kind }) => kind === 'ServiceAccount');
  Object.assign(account?.metadata.annotations ?? {}, { 'example.com/x': 'replace-me' });
  expect(objectProblems(objects)).toEqual([
    `ServiceAccount ${account?.metadata.name}: replace-me is left, which no line of aks.env replaces`,
  ]);
});

test('a site that is filled in is let through', () => {
  expect(aksProblems(exampleSite)).toEqual([]);
});
