/** The whole story over the one published port, and what the containers log of it. */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { localApplications } from '@countersign/cli';
import { checkLines } from '../system/test-system.ts';
import { type ComposedSystem, docker, services, startComposedSystem } from './composed-system.ts';

jest.setTimeout(400_000);

let system: ComposedSystem;
beforeAll(async () => {
  system = await startComposedSystem();
});
afterAll(() => system?.[Symbol.asyncDispose]());

const requestId = 'containers-main-job';
/** A test that tells what the containers logged when it fails. */
const explained = (body: () => Promise<void>) => (): Promise<void> => system.explained(body);

/** What every problem document is. */
const problemOf = async (
  path: string,
  init: Parameters<ComposedSystem['fetch']>[1] = {},
): Promise<{ status: number; challenge: string | null; problem: Record<string, unknown> }> => {
  const response = await system.fetch(`${system.gatewayUrl}${path}`, init);
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(response.headers.get('cache-control')).toBe('no-store');
  const problem = (await response.json()) as Record<string, unknown>;
  expect(problem).toMatchObject({
    title: expect.any(String),
    status: response.status,
    requestId: response.headers.get('x-request-id'),
  });
  return { status: response.status, challenge: response.headers.get('www-authenticate'), problem };
};

describe('docker compose up', () => {
  test(
    'publishes the port of the gateway alone, on loopback',
    explained(async () => {
      const config = JSON.parse(await docker('compose', 'config', '--format', 'json')) as {
        services: Record<string, { ports?: { host_ip: string }[] }>;
      };
      const published = Object.entries(config.services).flatMap(([name, { ports = [] }]) =>
        ports.map((port) => `${name} ${port.host_ip}`),
      );
      expect(published).toEqual(['gateway 127.0.0.1']);
    }),
  );

  test(
    'the page shows the ten records',
    explained(async () => {
      const response = await system.fetch(`${system.gatewayUrl}/caller/records`, {
        headers: { accept: 'text/html', 'x-request-id': requestId },
      });
      expect(response.status).toBe(200);
      const names = [...(await response.text()).matchAll(/<th scope="row">(.*?)<\/th>/g)].map(
        ([, name]) => name,
      );
      expect(names).toEqual(Array.from({ length: 10 }, (_, index) => `Record ${index + 1}`));
    }),
  );

  test(
    'an application with the role reads, in any case of the path',
    explained(async () => {
      for (const path of ['/api/records', '/api/Records']) {
        const response = await system.fetch(`${system.gatewayUrl}${path}`, {
          headers: { authorization: `Bearer ${await system.token('api2')}` },
        });
        expect(response.status).toBe(200);
        expect(await response.json()).toHaveLength(10);
      }
    }),
  );

  test(
    '401 without a token, 401 with one that is forged, 403 for API3, 404, 400, 428, 422',
    explained(async () => {
      const none = await problemOf('/api/records');
      expect(none).toMatchObject({ status: 401, challenge: 'Bearer', problem: { code: 'missing_token' } });

      const { access_token: forged } = (await system.weather('POST', '/forge', {
        client: localApplications.api2,
        resource: localApplications.api1,
        roles: ['access_as_application_API1'],
        key: 'unpublished',
      })) as { access_token: string };
      expect(
        await problemOf('/api/records', { headers: { authorization: `Bearer ${forged}` } }),
      ).toMatchObject({
        status: 401,
        challenge: expect.stringContaining('error="invalid_token"'),
        problem: { code: 'invalid_token' },
      });

      const stranger = { authorization: `Bearer ${await system.token('api3')}` };
      expect(
        await problemOf('/api/records', { headers: { ...stranger, 'x-request-id': 'api3-refused' } }),
      ).toMatchObject({
        status: 403,
        challenge: expect.stringContaining('insufficient_scope'),
        problem: { code: 'insufficient_role' },
      });

      const reader = {
        authorization: `Bearer ${await system.token('api4')}`,
        'content-type': 'application/json',
      };
      expect(await problemOf('/api/records', { method: 'POST', headers: reader, body: '{}' })).toMatchObject({
        status: 403,
        problem: { code: 'insufficient_role' },
      });

      const writer = {
        authorization: `Bearer ${await system.token('api2')}`,
        'content-type': 'application/json',
      };
      expect(await problemOf('/nowhere')).toMatchObject({ status: 404 });
      expect(await problemOf('/api/records?limit=0', { headers: writer })).toMatchObject({ status: 400 });
      expect(await problemOf('/api/records/1', { method: 'DELETE', headers: writer })).toMatchObject({
        status: 428,
      });
      expect(await problemOf('/api/records', { method: 'POST', headers: writer, body: '{}' })).toMatchObject({
        status: 422,
        problem: { code: 'invalid_request', errors: expect.any(Array) },
      });
    }),
  );

  test(
    'every line is JSON without a secret, one trace joins the services, a refusal says why',
    explained(async () => {
      const lines = await system.lines();
      for (const { service, record } of lines)
        expect([service, 'records-api']).toContain(record?.['service.name']);
      const secrets = await system.secrets();
      checkLines(lines, secrets);
      const others = await system.lines(['postgres', 'valkey', 'database-password']);
      expect(others.length).toBeGreaterThan(0);
      expect(others.filter(({ text }) => secrets.some((secret) => text.includes(secret)))).toEqual([]);

      const traces = new Map(
        lines.flatMap(({ service, record }) =>
          record?.['request_id'] === requestId ? [[service, record['trace_id']] as const] : [],
        ),
      );
      expect([...traces.keys()]).toEqual(services.filter((service) => service !== 'records-migrate'));
      expect(new Set(traces.values()).size).toBe(1);

      const refusal = lines.find(
        ({ service, record }) => service === 'gateway' && record?.['request_id'] === 'api3-refused',
      );
      expect(refusal?.text).toContain(localApplications.api3);
      expect(refusal?.text).toContain('insufficient_role');
    }),
  );

  test(
    'each container sees what it needs: its own secret, its own networks, nothing to write on',
    explained(async () => {
      const secret = await system.compose('exec', '-T', 'caller-api', 'cat', '/run/client-secret');
      expect(await system.secrets()).toContain(secret);
      expect(await system.compose('exec', '-T', 'caller-api', 'ls', '-A', '/secrets')).toBe('token-cache');
      const resolves = (service: string, name: string): Promise<string> =>
        system.compose(
          'exec',
          '-T',
          service,
          'node',
          '--eval',
          `require('dns').lookup('${name}', e => console.log(!e))`,
        );
      expect(await resolves('records-api', 'postgres')).toBe('true');
      expect(await resolves('gateway', 'postgres')).toBe('false');
      expect(await resolves('caller-api', 'postgres')).toBe('false');
      expect(await resolves('records-api', 'valkey')).toBe('false');
      for (const service of ['gateway', 'caller-api', 'records-api', 'local-entra']) {
        expect(await system.compose('exec', '-T', service, 'id', '-u')).toBe('10001');
        await expect(system.compose('exec', '-T', service, 'touch', '/app/written')).rejects.toThrow(
          'Read-only',
        );
      }
      const environments = await docker(
        ...['inspect', '--format', '{{json .Config.Env}}'],
        ...(
          await docker('ps', '--quiet', '--filter', `label=com.docker.compose.project=${system.project}`)
        ).split('\n'),
      );
      for (const each of await system.secrets()) expect(environments).not.toContain(each);
    }),
  );

  test(
    'a caller-api that starts anew has its token from Valkey',
    explained(async () => {
      const id = 'after-a-restart';
      await system.compose('restart', 'caller-api');
      await system.compose('up', '--detach', '--wait', '--no-deps', 'caller-api');
      const response = await system.fetch(`${system.gatewayUrl}/caller/records`, {
        headers: { 'x-request-id': id },
      });
      expect(response.status).toBe(200);
      const lines = (await system.lines()).filter(({ record }) => record?.['request_id'] === id);
      expect(new Set(lines.map(({ service }) => service))).toEqual(
        new Set(['gateway', 'caller-api', 'records-api']),
      );
    }),
  );

  test(
    'each of ours needs less than 90 MB at rest',
    explained(async () => {
      for (const service of ['gateway', 'caller-api', 'records-api', 'local-entra']) {
        const usage = await docker(
          'stats',
          '--no-stream',
          '--format',
          '{{.MemUsage}}',
          `${system.project}-${service}-1`,
        );
        const [, amount, unit] = /^([\d.]+)(\wiB)/.exec(usage) ?? [];
        expect([service, unit, Number(amount) < 90]).toEqual([service, 'MiB', true]);
      }
    }),
  );

  test(
    'down and up keep records and applications',
    explained(async () => {
      const authorization = `Bearer ${await system.token('api2')}`;
      const created = await system.fetch(`${system.gatewayUrl}/api/records`, {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'Kept', description: 'over a restart', date: '2026-01-01T00:00:00Z' }),
      });
      expect(created.status).toBe(201);
      const { id } = (await created.json()) as { id: number };
      const secrets = await system.secrets();
      await system.compose('down');
      await system.compose('up', '--detach', '--wait');
      expect(await system.secrets()).toEqual(secrets);
      const found = await system.fetch(`${system.gatewayUrl}/api/records/${id}`, {
        headers: { authorization },
      });
      // The token of before is worth as much: the keys are kept, too.
      expect(await found.json()).toMatchObject({ name: 'Kept' });
    }),
  );
});
