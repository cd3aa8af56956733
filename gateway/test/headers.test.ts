import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { startGateway, startUpstream, stopAll } from './start-gateway.ts';

afterEach(stopAll);

/** A gateway before an upstream that answers with these headers; `heard` are those that it was sent. */
const start = async (route: object = {}, answer: OutgoingHttpHeaders = {}) => {
  const heard: IncomingHttpHeaders[] = [];
  const origin = await startUpstream((incoming, outgoing) => {
    heard.push(incoming.headers);
    outgoing.writeHead(200, answer).end();
  });
  const { url } = await startGateway({
    table: {
      upstreams: { u: { addresses: [origin] } },
      routes: [{ path: '/a', upstream: 'u', access: 'public', ...route }],
    },
  });
  return {
    heard,
    ask: async (headers: Record<string, string> = {}) => (await fetch(`${url}/a`, { headers })).headers,
  };
};

describe('of requests', () => {
  test('a client cannot say what upstreams believe of the gateway alone', async () => {
    const { ask, heard } = await start();
    const names = [
      ...['forwarded', 'x-forwarded', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'],
      ...['x-forwarded-port', 'x-forwarded-prefix', 'via', 'traceparent', 'tracestate'],
      ...['client-ip', 'true-client-ip', 'x-client-ip', 'x-cluster-client-ip', 'x-real-ip'],
      ...['x-http-method', 'x-http-method-override', 'x-method-override'],
      ...['x-original-url', 'x-original-host', 'x-rewrite-url'],
      ...['x-client-cert', 'x-client-id', 'x-caller-application-id', 'x-caller-roles'],
      ...['x-ms-client-principal', 'x-ms-token-aad-access-token', 'x_forwarded_for', 'remote_user'],
      ...['x-arr-clientcert', 'x-arr-ssl', 'x-azure-clientip', 'x-azure-socketip', 'x-azure-fdid'],
      ...['x-fd-clientip', 'x-waws-unencoded-url', 'disguised-host', 'was-default-hostname'],
      ...['remote-user', 'remote-groups', 'x-remote-user', 'x-remote-group', 'x-remote-extra-scopes'],
      ...['x-auth-request-user', 'x-auth-request-email', 'x-authenticated-user', 'x-webauth-user'],
      ...['x-ssl', 'x-ssl-client-cert', 'x-ssl-client-verify', 'ssl-client-cert', 'ssl-client-verify'],
      ...['client-cert', 'client-cert-chain', 'cf-connecting-ip', 'cf-access-authenticated-user-email'],
      ...['fastly-client-ip', 'x-envoy-external-address', 'x-envoy-original-path', 'x-amzn-oidc-identity'],
      ...['x-goog-authenticated-user-email', 'x-proxyuser-ip', 'x-originating-ip', 'x-consumer-username'],
      ...['front-end-https', 'x-scheme', 'x-url-scheme', 'x-host', 'x-http-host-override'],
      ...['x-override-url', 'x-http-path-override', 'proxy', 'x.caller.application.id'],
      ...['proxy-connection', 'proxy-authorization', 'proxy-authenticate', 'proxy-authentication-info'],
    ];
    const spoofed = Object.fromEntries(names.map((name) => [name, 'spoofed']));
    await ask({ ...spoofed, 'x-clientele': 'spoofed', 'x-sslx': 'spoofed' });
    const passed = Object.entries(heard[0] ?? {}).filter(([, value]) => value?.includes('spoofed'));
    expect(passed).toEqual([
      ['x-clientele', 'spoofed'],
      ['x-sslx', 'spoofed'],
    ]);
  });

  test('tracestate goes with the trace that it belongs to, and with no other', async () => {
    const { ask, heard } = await start();
    const tracestate = 'vendor=1,other=2';
    await ask({ traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', tracestate });
    await ask({ traceparent: 'nonsense', tracestate });
    expect(heard.map((headers) => headers['tracestate'])).toEqual([tracestate, undefined]);
  });

  test('what the route sets stands in the place of what the client says, and what it strips stays behind', async () => {
    const { ask, heard } = await start({
      requestHeaders: { set: { 'X-Region': 'eu', 'X-Tier': 'gold' }, strip: ['X-Debug', 'Cookie'] },
    });
    await ask({ 'x-region': 'us', 'X-DEBUG': '1', cookie: 'a=1', 'x-other': '1' });
    expect(heard[0]).toMatchObject({ 'x-region': 'eu', 'x-tier': 'gold', 'x-other': '1' });
    expect(heard[0]).not.toHaveProperty('x-debug');
    expect(heard[0]).not.toHaveProperty('cookie');
  });
});

describe('of answers', () => {
  test('what the route sets stands in the place of what the upstream says, and what it strips stays behind', async () => {
    const { ask } = await start(
      { responseHeaders: { set: { 'Cache-Control': 'no-store', 'X-Tier': 'gold' }, strip: ['X-Debug'] } },
      { 'cache-control': 'public', 'x-debug': '1', 'x-other': '1' },
    );
    const answered = await ask();
    expect(Object.fromEntries(answered)).toMatchObject({
      'cache-control': 'no-store',
      'x-tier': 'gold',
      'x-other': '1',
    });
    expect(answered.has('x-debug')).toBe(false);
  });

  test('what the route strips or sets does not come in the trailers either', async () => {
    const origin = await startUpstream((_incoming, outgoing) => {
      outgoing.write('whole');
      outgoing.addTrailers({ 'X-Debug': '1', 'X-Tier': 'tin', 'X-Sum': '7' });
      outgoing.end();
    });
    const responseHeaders = { set: { 'X-Tier': 'gold' }, strip: ['X-Debug'] };
    const { url } = await startGateway({
      table: {
        upstreams: { u: { addresses: [origin] } },
        routes: [{ path: '/a', upstream: 'u', access: 'public', responseHeaders }],
      },
    });
    const [response] = (await once(request(`${url}/a`).end(), 'response')) as [IncomingMessage];
    await once(response.resume(), 'end');
    expect(response.trailers).toEqual({ 'x-sum': '7' });
  });

  test('what runs behind is not told', async () => {
    const { ask } = await start({}, { server: 'nginx/1.0', 'x-powered-by': 'PHP/5', etag: '"1"' });
    const answered = await ask();
    expect(answered.get('etag')).toBe('"1"');
    expect(answered.has('server')).toBe(false);
    expect(answered.has('x-powered-by')).toBe(false);
  });

  const ofPages = {
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
  };
  const ofUpstream = { 'x-frame-options': 'SAMEORIGIN', 'content-security-policy': "default-src 'none'" };

  test('a page comes with the headers that a browser needs, and with those that the upstream adds', async () => {
    const { ask } = await start({ page: true }, ofUpstream);
    const csp = ofUpstream['content-security-policy'];
    expect(Object.fromEntries(await ask())).toMatchObject({ ...ofPages, 'content-security-policy': csp });
  });

  test('of a page the route has the last word', async () => {
    const { ask } = await start({
      page: true,
      responseHeaders: { set: { 'X-Frame-Options': 'SAMEORIGIN' }, strip: ['Referrer-Policy'] },
    });
    const answered = Object.fromEntries(await ask());
    expect(answered).toMatchObject({ 'x-frame-options': 'SAMEORIGIN', 'x-content-type-options': 'nosniff' });
    expect(answered).not.toHaveProperty('referrer-policy');
  });

  test('what is no page comes with those of the upstream alone', async () => {
    const { ask } = await start({}, ofUpstream);
    const answered = Object.fromEntries(await ask());
    expect(answered).toMatchObject(ofUpstream);
    expect(Object.keys(answered).filter((name) => name in ofPages)).toEqual(['x-frame-options']);
  });
});
