import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { type CertificateOptions, makeCertificate } from './certificate.ts';
import { runGateway } from './gateway-process.ts';
import { listenOn, stopAll } from './start-gateway.ts';

afterEach(stopAll);

const startHttps = async (options: CertificateOptions = {}) => {
  const { certificate, key } = await makeCertificate(options);
  const hosts: unknown[] = [];
  const url = await listenOn(
    createServer({ cert: certificate, key }, (request, response) => {
      hosts.push(request.headers.host);
      response.end('ok');
    }),
  );
  return { address: `https://localhost:${new URL(url).port}`, hosts, certificate };
};

const runWith = (address: string, ca: string, transport = 'http1') => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-'));
  const file = join(folder, 'ca.pem');
  writeFileSync(file, ca);
  const route = { path: '/a', upstream: 'u', access: 'public', retries: 0 };
  const gateway = runGateway(
    { upstreams: { u: { addresses: [address] } }, routes: [route] },
    { CA_FILE: file, TRANSPORT: transport },
  );
  void gateway.exitCode.then(() => rmSync(folder, { recursive: true }));
  return gateway;
};

test.each(['http1', 'undici'])(
  'TRANSPORT %s: an upstream whose certificate CA_FILE vouches for is spoken to by its name',
  async (transport) => {
    const { address, hosts, certificate } = await startHttps();
    await using gateway = runWith(address, certificate, transport);
    const response = await fetch(`${await gateway.url()}/a`);
    expect([response.status, await response.text()]).toEqual([200, 'ok']);
    expect(hosts).toEqual([new URL(address).host]);
  },
);

test.each([
  ['of another authority', {}, 'DEPTH_ZERO_SELF_SIGNED_CERT', false],
  ['of another name', { name: 'elsewhere.test' }, 'ERR_TLS_CERT_ALTNAME_INVALID', true],
  ['that has expired', { notAfter: new Date(Date.now() - 1_000) }, 'CERT_HAS_EXPIRED', true],
])('one with a certificate %s: 502, and the log says why', async (_, options, code, vouchedFor) => {
  const { address, hosts, certificate } = await startHttps(options);
  const ca = vouchedFor ? certificate : (await makeCertificate()).certificate;
  await using gateway = runWith(address, ca);
  const response = await fetch(`${await gateway.url()}/a`);
  expect(response.status).toBe(502);
  expect(await response.json()).toMatchObject({ code: 'upstream_unreachable' });
  expect(hosts).toEqual([]);
  expect(await gateway.logged('request failed')).toMatchObject({
    upstream_address: address,
    cause: 'connect',
    err: { cause: { cause: { code } } },
  });
});
