/** A day of AKS workload identity: the cluster signs tokens of an hour into a file, and local-entra trusts the cluster. */
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { createEntraNetwork, createTokenSource, createTokenVerifier } from '@countersign/shared-auth';
import {
  createKey,
  mint,
  startTestIssuer,
  type TestIssuer,
} from '../../packages/shared-auth/test/test-issuer.ts';

const tenantId = '10ca10ca-0000-4000-8000-10ca10ca10ca';
const api = 'a9100001-0000-4000-8000-000000000001';
const caller = 'a9100002-0000-4000-8000-000000000002';
const scope = `api://${api}/.default`;
const subject = 'system:serviceaccount:countersign:caller-api';
const hourMs = 3_600_000;

let cluster: TestIssuer;
let entra: LocalEntra;
let folder: string;
let now = Date.now();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'federation-'));
  cluster = await startTestIssuer();
  entra = await startLocalEntra({
    clock: () => now,
    federationCa: [cluster.ca],
    seed: {
      tenants: [
        {
          id: tenantId,
          displayName: 'Federation',
          applications: [
            {
              name: 'records-api',
              appId: api,
              identifierUris: [`api://${api}`],
              requestedAccessTokenVersion: 2,
              appRoles: [{ value: 'access_as_application_API1' }],
            },
            {
              name: 'caller-api',
              appId: caller,
              federatedCredentials: [{ name: 'aks', issuer: cluster.issuer, subject }],
              grantedRoles: [{ resource: 'records-api', role: 'access_as_application_API1' }],
            },
          ],
        },
      ],
    } as never,
  });
});

afterAll(async () => {
  await entra?.close();
  await cluster?.close();
  await rm(folder, { recursive: true });
});

/** What the cluster would put into the pod now. */
const projectedToken = (): string =>
  mint(cluster, now, {
    aud: 'api://AzureADTokenExchange',
    sub: subject,
    exp: Math.floor((now + hourMs) / 1_000),
  });

/** As the kubelet does: a new folder, and a link that is swapped. */
const project = async (generation: number, token: string): Promise<void> => {
  const name = `..${generation}`;
  await mkdir(join(folder, name));
  await writeFile(join(folder, name, 'azure-identity-token'), token);
  await symlink(name, join(folder, '..data_tmp'));
  await rename(join(folder, '..data_tmp'), join(folder, '..data'));
};

const createSource = (federatedTokenFile: string) =>
  createTokenSource({
    authorityHost: entra.origin,
    tenantId,
    clientId: caller,
    credential: { federatedTokenFile },
    network: createEntraNetwork({ ca: entra.ca }),
    clock: () => now,
  });

test('for a day every token is asked for with the assertion that the file holds by then, without any secret', async () => {
  await project(0, projectedToken());
  await symlink(join('..data', 'azure-identity-token'), join(folder, 'azure-identity-token'));
  const source = createSource(join(folder, 'azure-identity-token'));
  // What an application has that keeps what it read at its start.
  const kept = join(folder, 'kept');
  await writeFile(kept, projectedToken());
  const forgetful = createSource(kept);
  await forgetful.getToken({ scope });

  const tokens = new Set<string>();
  // Longer than any access token lives.
  for (let turn = 0; turn < 12; turn += 1) {
    tokens.add((await source.getToken({ scope })).accessToken);
    now += 2 * hourMs;
    // In the middle of the day the cluster rotates the key that it signs with.
    if (turn === 6) cluster.keys.unshift(createKey());
    await project(turn + 1, projectedToken());
  }
  expect(tokens.size).toBe(12);

  const { accessToken } = await source.getToken({ scope });
  const verifier = createTokenVerifier({
    authorityHost: entra.origin,
    tenantId,
    clientId: api,
    network: createEntraNetwork({ ca: entra.ca }),
    clock: () => now,
  });
  expect(await verifier.verify(accessToken)).toMatchObject({
    applicationId: caller,
    roles: ['access_as_application_API1'],
  });
  await expect(forgetful.getToken({ scope })).rejects.toMatchObject({ refusal: { aadsts: 700024 } });
});
