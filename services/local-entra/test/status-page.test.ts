import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startLocalEntra, type LocalEntra } from '@countersign/local-entra';
import { getJson, postForm } from './https-client.ts';

const tenant = '10ca10ca-0000-4000-8000-10ca10ca10ca';
const api1 = 'a9100001-0000-4000-8000-000000000001';
const api3 = 'a9100003-0000-4000-8000-000000000003';

let entra: LocalEntra;
let page: string;
let headers: Record<string, unknown>;
beforeAll(async () => {
  entra = await startLocalEntra();
  const scope = `api://${api1}/.default`;
  const secret = entra.secrets['api3'] ?? '';
  for (const client_secret of [secret, '<b>wrong</b>']) {
    const form = { grant_type: 'client_credentials', client_id: api3, client_secret, scope };
    await postForm(entra, `/${tenant}/oauth2/v2.0/token`, form);
  }
  entra.faults.add({ endpoint: 'graph', status: 503 });
  const answer = await getJson(entra, '/');
  page = String(answer.body['text']);
  headers = answer.headers;
});
afterAll(() => entra.close());

describe('the status page', () => {
  test('says first that it is not the real one', () => {
    expect(page).toContain(
      'This is local-entra, an emulator for development and tests. It is not Microsoft Entra ID.',
    );
  });

  test('draws who may call what', () => {
    expect(page).toMatch(/<svg [^]*caller-api[^]*<\/svg>/);
    expect(page).toContain(
      'caller-api may call records-api as access_as_application_API1, write_as_application_API1.',
    );
    expect(page).toMatch(/<g class="caller none">\s*<title>stranger-api/);
  });

  test('says in plain words whom it refused, and why', () => {
    expect(page).toContain(
      'stranger-api asked for records-api: token issued without roles, because no assignment exists.',
    );
    expect(page).toContain('AADSTS7000215');
    expect(page).toContain('fault at graph: status 503');
  });

  test('shows keys, and no secret', () => {
    expect(page.match(/<td>signs<\/td>/g)).toHaveLength(1);
    for (const secret of Object.values(entra.secrets)) expect(page).not.toContain(secret);
  });

  test('cannot be made to run anything', async () => {
    const name = '<script>alert(1)</script>';
    const applications = [
      { name: 'api', displayName: name, appRoles: [{ value: name }], generatedSecret: true },
    ];
    const other = await startLocalEntra({
      seed: { tenants: [{ id: tenant, displayName: name, applications }] },
    });
    const { body } = await getJson(other, '/');
    await other.close();
    expect(body['text']).toContain('&lt;script&gt;');
    expect(body['text']).not.toContain('<script');
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; style-src 'sha256-/);
  });
});
