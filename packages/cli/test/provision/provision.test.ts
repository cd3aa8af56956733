import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueSigningCertificate } from '../../../../services/local-entra/src/certificates/issue-certificate.ts';
import { runCommand } from '../run-command.ts';
import { startTestTenant, type TestTenant, wantedState } from './test-tenant.ts';

let tenant: TestTenant;
beforeEach(async () => {
  tenant = await startTestTenant();
});
afterEach(() => tenant[Symbol.asyncDispose]());

describe('countersign provision', () => {
  test('sets up an empty tenant; a second time changes nothing', async () => {
    expect((await tenant.provision('plan')).code).toBe(2);
    const first = await tenant.provision('apply');
    expect(first.stderr).not.toContain('    at ');
    expect(first.code).toBe(0);
    expect(await tenant.stateOf()).toEqual(wantedState);
    const second = await tenant.provision('apply');
    expect(second.stdout).toContain('Nothing to change');
    expect(second.code).toBe(0);
    expect(second.stderr).toBe('');
    expect((await tenant.provision('plan')).code).toBe(0);
    expect((await tenant.provision('verify')).code).toBe(0);
  });

  test('the secret is in its file alone, which its owner alone can read', async () => {
    const { stdout, stderr } = await tenant.provision('apply');
    const secret = await readFile(tenant.secretFile, 'utf8');
    expect(((await stat(tenant.secretFile)).mode & 0o777).toString(8)).toBe('600');
    expect(secret.length).toBeGreaterThan(15);
    expect(stdout + stderr).not.toContain(secret);
    expect(await readFile(join(tenant.folder, '.env'), 'utf8')).not.toContain(secret);
    expect(JSON.stringify(await tenant.provision('verify', ['--json']))).not.toContain(secret);
  });

  test('an output keeps the lines that are not its own', async () => {
    await writeFile(join(tenant.folder, '.env'), 'OTHER=1\nAPI_CLIENT_ID=old\n');
    await tenant.provision('apply');
    const { appId } = await tenant.found('records-api');
    expect(await readFile(join(tenant.folder, '.env'), 'utf8')).toMatch(
      new RegExp(`^OTHER=1\nAPI_CLIENT_ID=${appId}\nAZURE_CLIENT_ID=.*\nENDS=.*\n$`),
    );
  });

  test('an output that names a variable twice is mended, and stays so', async () => {
    await writeFile(join(tenant.folder, '.env'), 'API_CLIENT_ID=x\n  export API_CLIENT_ID = y\n');
    expect((await tenant.provision('apply')).code).toBe(0);
    const { appId } = await tenant.found('records-api');
    expect(await readFile(join(tenant.folder, '.env'), 'utf8')).toMatch(
      new RegExp(`^API_CLIENT_ID=${appId}\nAPI_CLIENT_ID=${appId}\n`),
    );
    expect((await tenant.provision('plan')).code).toBe(0);
  });

  test('destroy that was killed after Graph deleted an application removes its secret all the same', async () => {
    await tenant.provision('apply');
    await tenant.graph('DELETE', `applications/${(await tenant.found('caller-api')).id}`);
    expect((await tenant.provision('destroy', ['--yes'])).code).toBe(0);
    await expect(stat(tenant.secretFile)).rejects.toThrow('ENOENT');
  });

  test('destroy deletes what the file names, and apply makes it again', async () => {
    await tenant.provision('apply');
    expect((await tenant.provision('destroy')).stderr).toContain('--yes');
    expect((await tenant.provision('destroy', ['--yes'])).code).toBe(0);
    await expect(tenant.found('records-api')).rejects.toThrow('does not exist');
    await expect(stat(tenant.secretFile)).rejects.toThrow('ENOENT');
    expect((await tenant.provision('apply')).code).toBe(0);
  });

  test('rotate-secret: another one works, the old one does not', async () => {
    await tenant.provision('apply');
    const before = await readFile(tenant.secretFile, 'utf8');
    const { code, stdout, stderr } = await tenant.provision('rotate-secret', ['api2']);
    const after = await readFile(tenant.secretFile, 'utf8');
    expect([code, stdout]).toEqual([0, '1 rotated\n']);
    expect(stderr).not.toContain(after);
    expect(after).not.toBe(before);
    const { appId } = await tenant.found('caller-api');
    await expect(tenant.tokenOf(appId, before, 'https://graph.microsoft.com/.default')).rejects.toThrow(
      /token/,
    );
    expect(await tenant.stateOf()).toEqual(wantedState);
    expect((await tenant.provision('plan')).code).toBe(0);
  });

  test('rotate-secret --keep-old: both work, until apply removes the old one', async () => {
    await tenant.provision('apply');
    const before = await readFile(tenant.secretFile, 'utf8');
    await tenant.provision('rotate-secret', ['--keep-old']);
    const { appId } = await tenant.found('caller-api');
    expect(await tenant.tokenOf(appId, before, 'https://graph.microsoft.com/.default')).toMatch(/^eyJ/);
    expect((await tenant.provision('plan')).code).toBe(2);
    expect((await tenant.provision('apply')).stderr).toContain('Something is deleted. Say so with --yes.');
    expect((await tenant.provision('apply', ['--yes'])).code).toBe(0);
    expect(await tenant.stateOf()).toEqual(wantedState);
  });
});

test('a certificate is registered beside those that are there, and an application takes a token with it', async () => {
  const pair = async (name: string): Promise<void> => {
    const { key, certificate } = await issueSigningCertificate(Date.now());
    await writeFile(join(tenant.folder, name), `${key}\n${certificate}`);
  };
  await pair('first.pem');
  await pair('second.pem');
  const withFile = (name: string): string => `applications:
  api: { appRoles: [{ value: r }] }
  caller:
    grants: [{ api: api, roles: [r] }]
    certificate: { file: ${JSON.stringify(join(tenant.folder, name))} }
`;
  expect((await tenant.provision('apply', [], withFile('first.pem'))).code).toBe(0);
  expect((await tenant.provision('plan', [], withFile('first.pem'))).code).toBe(0);
  expect((await tenant.provision('plan', [], withFile('second.pem'))).stdout).toContain(
    '+ certificate of caller',
  );
  const { code, stdout, stderr } = await tenant.provision('apply', [], withFile('second.pem'));
  expect([code, (stdout + stderr).includes('PRIVATE KEY')]).toEqual([0, false]);
  const { appId, keyCredentials } = await tenant.found('caller');
  expect(keyCredentials).toHaveLength(2);
  for (const name of ['first.pem', 'second.pem']) {
    const ran = await runCommand(
      ['token', '--scope', `${(await tenant.found('api')).appId}/.default`, '--claims'],
      {
        env: {
          ...tenant.env,
          AZURE_CLIENT_ID: appId,
          AZURE_CLIENT_SECRET: '',
          AZURE_CLIENT_CERTIFICATE_PATH: join(tenant.folder, name),
        },
      },
    );
    expect([ran.stderr, ran.code]).toEqual(['', 0]);
    expect(JSON.parse(ran.stdout)).toMatchObject({ azp: appId, azpacr: '2', roles: ['r'] });
  }
});
