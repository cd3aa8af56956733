import { Agent } from 'node:https';
import { createSecureContext, getCACertificates } from 'node:tls';

/** `HTTPS_PROXY` and `NO_PROXY`, as most programs read them. Others are not looked at. */
export type ProxyVariables = Readonly<Record<string, string | undefined>>;

/**
 * An agent that keeps connections, and trusts these certificates in addition to those that Node trusts by default. One
 * TLS context serves all its connections: parsing some 150 root certificates takes longer than a handshake.
 *
 * @param ca - PEM
 * @param proxyEnv - variables that name a proxy
 */
export const createHttpsAgent = (ca: string | undefined, proxyEnv?: ProxyVariables): Agent =>
  new Agent({
    keepAlive: true,
    ...(proxyEnv && { proxyEnv: { ...proxyEnv } }),
    ...(ca !== undefined && {
      secureContext: createSecureContext({ ca: [...getCACertificates('default'), ca] }),
    }),
  });
