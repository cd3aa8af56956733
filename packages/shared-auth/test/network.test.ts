import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { createEntraNetwork, createPlatformNetwork } from '../src/index.ts';
import { startTestIssuer, tenantId, type TestIssuer } from './test-issuer.ts';

let issuer: TestIssuer;
let url: string;

beforeEach(async () => {
  issuer = await startTestIssuer();
  url = `${issuer.origin}/${tenantId}/discovery/v2.0/keys`;
});

afterEach(() => issuer.close());

const startProxy = async (tunnels: string[]): Promise<Server> => {
  const proxy = createServer();
  proxy.on('connect', (req, socket) => {
    tunnels.push(req.url ?? '');
    const [host = '', port = ''] = (req.url ?? '').split(':');
    const target = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      target.pipe(socket).pipe(target);
    });
    target.on('error', () => socket.destroy());
    socket.on('error', () => target.destroy());
  });
  await new Promise<void>((resolve) => {
    proxy.listen(0, '127.0.0.1', resolve);
  });
  return proxy;
};

test('certificates are trusted in addition, and no others', async () => {
  expect((await createEntraNetwork({ ca: issuer.ca }).request(url)).status).toBe(200);
  await expect(createEntraNetwork().request(url)).rejects.toMatchObject({ name: 'EntraNetworkError' });
});

test('a proxy is taken where it is named, but not for what it is not for', async () => {
  const tunnels: string[] = [];
  const proxy = await startProxy(tunnels);
  const proxyEnv = { HTTPS_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` };
  const through = createEntraNetwork({ ca: issuer.ca, proxyEnv });
  expect((await through.request(url)).status).toBe(200);
  expect(tunnels).toEqual([new URL(issuer.origin).host]);
  const around = createEntraNetwork({ ca: issuer.ca, proxyEnv: { ...proxyEnv, NO_PROXY: 'localhost' } });
  expect((await around.request(url)).status).toBe(200);
  expect(tunnels).toHaveLength(1);
  through.close();
  proxy.close();
  proxy.closeAllConnections();
});

test('errors hold nothing of the request', async () => {
  const network = createEntraNetwork({ ca: issuer.ca, timeoutMs: 50 });
  issuer.tokenReply = () => 'hang';
  const error = await network
    .request(`${issuer.origin}/${tenantId}/oauth2/v2.0/token`, { method: 'POST', body: 'client_secret=hush' })
    .catch((thrown: unknown) => thrown as Error);
  expect(error).toMatchObject({ name: 'EntraNetworkError', message: expect.stringContaining('ETIMEDOUT') });
  const { inspect } = await import('node:util');
  expect(inspect(error, { depth: 10 })).not.toContain('hush');
});

test('plain http is for the platform alone', async () => {
  const server = createServer((_, res) => res.end('{}'));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const plain = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  expect(await createPlatformNetwork().request(plain)).toMatchObject({ status: 200, body: '{}' });
  await expect(createEntraNetwork().request(plain)).rejects.toThrow('not https');
  server.close();
  server.closeAllConnections();
});
