import { Agent } from 'node:https';
import { createSecureContext, getCACertificates } from 'node:tls';

/**
 * An agent that keeps connections, and trusts these certificates in addition to those that Node trusts by default. One
 * TLS context serves all its connections: parsing some 150 root certificates takes longer than a handshake.
 *
 * @param ca - PEM
 */
export const createHttpsAgent = (ca: string | undefined): Agent =>
  new Agent({
    keepAlive: true,
    ...(ca !== undefined && {
      secureContext: createSecureContext({ ca: [...getCACertificates('default'), ca] }),
    }),
  });
