import { lookup } from 'node:dns/promises';
import { createConnection, isIP } from 'node:net';
import { connect, getCACertificates } from 'node:tls';
import type { EntraNetwork, EntraResponse } from '@countersign/shared-auth';
import type { Target } from '../target.ts';
import { Fault, Skipped, type Step } from './examination.ts';

export interface AuthorityFacts {
  /** Milliseconds by which the authority's clock is ahead of ours. */
  skewMs?: number;
  /** What the key document holds. */
  keys?: readonly Readonly<Record<string, unknown>>[];
}

const timeoutMs = 5000;
/** Tokens are refused beyond five minutes; half of that is worth a word. */
const maxSkewMs = 300_000;

export const guidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** What nobody said is no fault of the chain. */
const said = <Value>(value: Value | undefined, name: string): Value => {
  if (value === undefined)
    throw new Fault(`${name} is not set.`, `Set ${name}, or start a local system: npm start`);
  return value;
};

export const resolveHost = async (hostname: string): Promise<string> => {
  try {
    return (await lookup(hostname)).address;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Fault(
      `${hostname} has no address (${code}).`,
      `Check the spelling of ${hostname} and this machine's DNS.`,
    );
  }
};

export const reach = ({ hostname, port, protocol }: URL): Promise<void> =>
  new Promise((resolve, reject) => {
    const number = Number(port) || (protocol === 'https:' ? 443 : 80);
    const socket = createConnection({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: number,
      timeout: timeoutMs,
    });
    const fail = (reason: string): void => {
      socket.destroy();
      reject(
        new Fault(
          `Nothing answers at ${hostname}:${number} (${reason}).`,
          'Start it, or check address, firewall and proxy.',
        ),
      );
    };
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => fail(`no connection within ${timeoutMs / 1000} s`));
    socket.once('error', ({ code = 'error' }: NodeJS.ErrnoException) => fail(code));
  });

const untrusted: ReadonlySet<string> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_GET_ISSUER_CERT',
]);

const tlsFault = (code: string, message: string, host: string): Fault => {
  if (untrusted.has(code)) {
    return new Fault(
      `${host} shows a certificate of an authority that is not trusted here (${code}).`,
      'Set CA_FILE to the certificate of that authority: local-entra writes its own as ca.pem; a company proxy has one, too.',
    );
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new Fault(
      `The certificate is not for ${host}.`,
      'Use the name that the certificate has, or check who answers there.',
    );
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return new Fault(
      `The certificate of ${host} is not valid now (${code}).`,
      "Renew it, or set this machine's clock.",
    );
  }
  return new Fault(
    `No TLS with ${host}: ${message}`,
    'Something else than a TLS server answers there: check address, port and proxy.',
  );
};

const handshake = ({ hostname, port, host }: URL, ca: string | undefined): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect({
      host: hostname,
      port: Number(port) || 443,
      // RFC 6066 §3: an address is no server name.
      ...(isIP(hostname) === 0 && { servername: hostname }),
      timeout: timeoutMs,
      ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }),
    });
    socket.once('secureConnect', () => {
      const { valid_to: validTo } = socket.getPeerCertificate();
      const days = Math.floor((Date.parse(validTo) - Date.now()) / 86_400_000);
      resolve(`${socket.getProtocol() ?? 'TLS'}, certificate valid for ${days} days`);
      socket.destroy();
    });
    socket.once('timeout', () => {
      socket.destroy();
      reject(tlsFault('TIMEOUT', 'no answer to the handshake', host));
    });
    socket.once('error', ({ code = '', message }: NodeJS.ErrnoException) =>
      reject(tlsFault(code, message, host)),
    );
  });

const fetchDocument = async (network: EntraNetwork, url: string): Promise<EntraResponse> => {
  try {
    return await network.request(url);
  } catch (error) {
    throw new Fault(
      `${url} does not answer: ${(error as Error).message}`,
      'Check the network between here and the authority.',
    );
  }
};

const parse = ({ body, status }: EntraResponse, url: string): Record<string, unknown> => {
  try {
    return JSON.parse(body) as Record<string, unknown>;
  } catch {
    throw new Fault(
      `${url} answers ${status} with something that is no JSON.`,
      'Something between here and the authority answers in its place, such as a proxy with a sign-in page.',
    );
  }
};

/** From the name of the authority's host to its keys. */
export const authoritySteps = (target: Target, network: EntraNetwork, facts: AuthorityFacts): Step[] => {
  const authority = (): URL => {
    const text = said(target.authorityHost, 'AZURE_AUTHORITY_HOST');
    if (!URL.canParse(text) || new URL(text).protocol !== 'https:') {
      throw new Fault(
        `AZURE_AUTHORITY_HOST is no https: origin: ${text}`,
        'Set it to https://login.microsoftonline.com, or to the origin of local-entra.',
      );
    }
    return new URL(text);
  };
  const tenant = (): string => said(target.tenantId, 'AZURE_TENANT_ID');
  const base = (): string => `${authority().origin}/${tenant()}`;

  return [
    {
      name: 'settings',
      title: 'settings',
      needs: [],
      async examine() {
        const { href } = authority();
        if (!guidPattern.test(tenant())) {
          throw new Fault(
            `AZURE_TENANT_ID is no GUID: ${tenant()}`,
            'Applications need the tenant id, "Directory (tenant) ID" on the overview page; not "common", and not a domain.',
          );
        }
        const client = said(target.clientId, 'AZURE_CLIENT_ID');
        if (!guidPattern.test(client)) {
          throw new Fault(
            `AZURE_CLIENT_ID is no GUID: ${client}`,
            'Set it to "Application (client) ID" of the calling application.',
          );
        }
        const scope = said(target.scope, 'API_CLIENT_ID or RECORDS_API_SCOPE');
        if (!/^\S+\/\.default$/.test(scope)) {
          throw new Fault(
            `The scope is not <App ID URI>/.default: ${scope}`,
            'An application asks for everything it was granted: end the scope in "/.default".',
          );
        }
        return { detail: `${href}, by ${target.source}` };
      },
    },
    {
      name: 'dns',
      title: 'name of the authority',
      needs: ['settings'],
      examine: async () => ({
        detail: `${authority().hostname} is ${await resolveHost(authority().hostname)}`,
      }),
    },
    {
      name: 'tcp',
      title: 'connection to the authority',
      needs: ['dns'],
      async examine() {
        await reach(authority());
        return { detail: authority().host };
      },
    },
    {
      name: 'tls',
      title: 'TLS of the authority',
      needs: ['tcp'],
      examine: async () => ({ detail: await handshake(authority(), target.ca) }),
    },
    {
      name: 'discovery',
      title: 'discovery document',
      needs: ['tls'],
      async examine() {
        const url = `${base()}/v2.0/.well-known/openid-configuration`;
        const answer = await fetchDocument(network, url);
        const dateMs = Date.parse(answer.headers['date'] ?? '');
        if (Number.isFinite(dateMs)) facts.skewMs = dateMs - Date.now();
        const document = parse(answer, url);
        if (answer.status !== 200) {
          const [code] = (document['error_codes'] as number[] | undefined) ?? [];
          if (code === 90002 || code === 900023 || document['error'] === 'invalid_tenant') {
            throw new Fault(
              `The authority has no tenant ${tenant()} (AADSTS${code}).`,
              'Check AZURE_TENANT_ID, and that the authority is that of your cloud.',
            );
          }
          throw new Fault(
            `${url} answers ${answer.status}.`,
            answer.status >= 500 || answer.status === 429
              ? 'The authority is in trouble: wait, and look at https://azure.status.microsoft.'
              : 'Check authority and tenant.',
          );
        }
        const issuer = String(document['issuer']);
        if (issuer !== `${base()}/v2.0`) {
          throw new Fault(
            `The issuer is ${issuer}, and APIs here expect ${base()}/v2.0.`,
            'Use the origin that the authority itself names as AZURE_AUTHORITY_HOST, everywhere the same.',
          );
        }
        return { detail: issuer };
      },
    },
    {
      name: 'clock',
      title: "this machine's clock",
      needs: ['discovery'],
      async examine() {
        if (facts.skewMs === undefined) throw new Skipped('the authority does not say the time');
        const seconds = Math.round(facts.skewMs / 1000);
        const words = `${Math.abs(seconds)} s ${seconds >= 0 ? 'behind' : 'ahead of'} the authority`;
        if (Math.abs(facts.skewMs) >= maxSkewMs) {
          throw new Fault(
            `This clock is ${words}: tokens and assertions are refused.`,
            'Synchronise the clock (chrony, systemd-timesyncd, w32time).',
          );
        }
        const warning =
          Math.abs(facts.skewMs) > maxSkewMs / 2
            ? 'Synchronise the clock: beyond 300 s tokens are refused.'
            : undefined;
        return { detail: words, ...(warning && { warning }) };
      },
    },
    {
      name: 'keys',
      title: 'signing keys',
      needs: ['discovery'],
      async examine() {
        const url = `${base()}/discovery/v2.0/keys`;
        const answer = await fetchDocument(network, url);
        const { keys } = parse(answer, url);
        if (answer.status !== 200 || !Array.isArray(keys) || keys.length === 0) {
          throw new Fault(
            `The keys cannot be had: ${url} answers ${answer.status}.`,
            'APIs answer 503 without keys: wait for the authority, or look at what is between.',
          );
        }
        facts.keys = keys as NonNullable<AuthorityFacts['keys']>;
        return { detail: `${keys.length} published` };
      },
    },
  ];
};
