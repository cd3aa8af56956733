import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startTestTenant, type TestTenant } from './test-tenant.ts';

let tenant: TestTenant;
beforeEach(async () => {
  tenant = await startTestTenant();
});
afterEach(() => tenant[Symbol.asyncDispose]());

describe('bad input', () => {
  test.each<[string, string, string]>([
    ['YAML that is none', 'applications: [', 'p.yaml:1:16: '],
    [
      'an unknown field',
      'applications:\n  a: { secrets: 1 }\n',
      'p.yaml:2:8: applications.a.secrets is not a known field',
    ],
    [
      'a GUID that is none',
      'applications:\n  a:\n    appId: x\n',
      'p.yaml:3:12: applications.a.appId must be a GUID',
    ],
    [
      'a grant on nothing',
      'applications:\n  a:\n    grants: [{ api: b, roles: [c] }]\n',
      'p.yaml:3:21: applications.a.grants[0].api names no application of this file: "b"',
    ],
    [
      'a role that is not there',
      'applications:\n  a: { appRoles: [{ value: r }] }\n  b:\n    grants: [{ api: a, roles: [s] }]\n',
      'p.yaml:4:32: applications.b.grants[0].roles[0] names no role of a: "s"',
    ],
    [
      'two of a name',
      'applications:\n  a: { uniqueName: x }\n  b: { uniqueName: x }\n',
      'p.yaml:3:6: applications.b repeats the uniqueName of a',
    ],
    [
      'a GitHub credential for everything',
      'applications:\n  a:\n    federated: [{ name: g, github: { repository: o/r } }]\n',
      'must have one of branch, environment and pullRequest',
    ],
    [
      'a placeholder that is none',
      'applications: {}\noutputs: [{ file: x, values: { A: "{api9.appId}" } }]\n',
      'uses {api9.appId}, which is none of',
    ],
    ['no applications', 'tenant: 1\n', 'p.yaml:1:9: tenant '],
    [
      'aliases of aliases',
      `a: &a [${'x,'.repeat(20)}]\nb: &b [${'*a,'.repeat(20)}]\nc: [${'*b,'.repeat(20)}]\n`,
      'p.yaml:2:8: Excessive alias count',
    ],
    [
      'a file for two secrets',
      'applications:\n  a: { secret: { writeTo: { file: x } } }\n  b: { secret: { writeTo: { file: ./x } } }\n',
      'p.yaml:3:35: applications.b.secret.writeTo.file names a file that applications.a.secret.writeTo.file writes',
    ],
    [
      'a secret over an output',
      'applications:\n  a: { secret: { writeTo: { file: x } } }\noutputs: [{ file: x, values: {} }]\n',
      'p.yaml:3:19: outputs[0].file names a file that',
    ],
    [
      'a value that is read in two ways',
      `applications: {}\noutputs: [{ file: x, values: { A: "it's #1" } }]\n`,
      "readers of such files do not agree on this value of A: it's #1",
    ],
    [
      'another authority than the credential’s',
      'authority: https://elsewhere.example\napplications: {}\n',
      'and the file names https://elsewhere.example: it is sent there with --authority',
    ],
  ])('%s: line and column', async (_, content, message) => {
    const { code, stderr } = await tenant.provision('plan', [], content);
    expect(stderr.replaceAll(`${tenant.folder}/`, '')).toContain(message);
    expect(stderr).not.toContain('    at ');
    expect(code).toBe(64);
  });

  test.each<[string[], string]>([
    [
      ['Application.Read.All'],
      'Application.ReadWrite.OwnedBy, to create and change applications\n  AppRoleAssignment.ReadWrite.All, to grant app roles',
    ],
    [
      ['Application.Read.All', 'Application.ReadWrite.OwnedBy'],
      'AppRoleAssignment.ReadWrite.All, to grant app roles',
    ],
    [[], 'Application.Read.All, to read applications and grants'],
  ])(
    'with %s alone, the permissions that lack are named before anything is changed',
    async (permissions, sentence) => {
      await using permitted = await startTestTenant(permissions);
      const { code, stderr } = await permitted.provision('apply');
      expect(stderr).toContain(sentence);
      expect(code).toBe(1);
      expect(permitted.entra.requests.list().filter(({ path }) => path.startsWith('/v1.0'))).toEqual([]);
    },
  );

  test('a host that is not there: a sentence', async () => {
    const { code, stderr } = await tenant.provision('plan', ['--authority', 'https://localhost:1']);
    expect(stderr).toMatch(/identity provider cannot be reached/);
    expect(stderr).not.toContain('    at ');
    expect(code).toBe(1);
  });

  test('plan --az: a shell runs nothing but az, whatever file and tenant say', async () => {
    await tenant.provision('apply');
    const { id } = await tenant.found('records-api');
    await tenant.graph('PATCH', `applications/${id}`, {
      identifierUris: ['api://kept'],
      displayName: '$(oops)',
    });
    const hostile = tenant.yaml
      .replace('uniqueName: caller-api', `uniqueName: "c'$(oops)"\n    displayName: "x\\noops"`)
      .replaceAll('write_as_application_API1', '"r`oops`\'$(oops)"')
      .replace('appRoles:', 'identifierUris: ["api://{appId}", "api://{appId}/`oops`"]\n    appRoles:');
    const { stdout } = await tenant.provision('plan', ['--az'], hostile);
    await writeFile(
      join(tenant.folder, 'az'),
      `#!/bin/sh\nfor each; do printf '%s\\n' "$each"; done >> "$LOG"\necho 'id'\n`,
    );
    await chmod(join(tenant.folder, 'az'), 0o755);
    const log = join(tenant.folder, 'az.log');
    await promisify(execFile)('sh', ['-euc', stdout], {
      cwd: tenant.folder,
      env: { PATH: `${tenant.folder}:${process.env['PATH']}`, LOG: log },
    });
    const words = (await readFile(log, 'utf8')).split('\n');
    expect(words).toEqual(
      expect.arrayContaining([
        'api://kept',
        'api://id/`oops`',
        `${tenant.entra.origin}/v1.0/applications(uniqueName='c''%24(oops)')`,
        'appRoles[?value==`"r\\`oops\\`\'$(oops)"`].id | [0]',
        'id=Role',
        '{"principalId":"id","resourceId":"id","appRoleId":"id"}',
      ]),
    );
    expect(await readFile(tenant.secretFile, 'utf8')).toBe('id\n');
  });
});
