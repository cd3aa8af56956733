import { createConnection } from 'node:net';
import { type Agent, fetch } from 'undici';
import { networkCause, readBody } from '../call-command.ts';
import type { Target } from '../target.ts';
import { reach, resolveHost } from './authority-steps.ts';
import { Fault, Skipped, type Step } from './examination.ts';

interface Answer {
  status: number;
  code: string;
  detail: string;
  challenge: string;
}

const timeoutMs = 15_000;

const urlOf = (text: string | undefined, name: string): URL => {
  if (text === undefined) throw new Skipped(`${name} is not set`);
  if (!URL.canParse(text)) throw new Fault(`${name} is no address.`, `Correct ${name}.`);
  return new URL(text);
};

const ask = async (url: URL, token: string | undefined, dispatcher: Agent): Promise<Answer> => {
  try {
    const response = await fetch(url, {
      headers: {
        accept: 'application/json',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      dispatcher,
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    const problem = parse(await readBody(response));
    return {
      status: response.status,
      code: typeof problem['code'] === 'string' ? problem['code'] : '',
      detail: typeof problem['detail'] === 'string' ? problem['detail'] : '',
      challenge: response.headers.get('www-authenticate') ?? '',
    };
  } catch (error) {
    throw new Fault(
      `${url.origin} does not answer: ${networkCause(error)}`,
      'Look at its log: countersign logs --status 5xx',
    );
  }
};

const parse = (text: string): Record<string, unknown> => {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {};
  }
};

/** What an answer of the API, or of the gateway before it, says about the chain. */
const faultOf = ({ status, code, detail, challenge }: Answer, at: string): Fault => {
  const seen = `${at} answers ${status}${code && ` ${code}`}${detail && `: ${detail}`}`;
  if (status === 401) {
    return new Fault(
      seen,
      `The token is good for the API of this configuration: ${at} has another AZURE_TENANT_ID, AZURE_AUTHORITY_HOST or API_CLIENT_ID, or a wrong clock. Its log says which check failed. ${challenge}`.trim(),
    );
  }
  if (status === 403)
    return new Fault(
      seen,
      `${at} demands another role or caller: compare its policy with the token's roles.`,
    );
  if (status === 404) {
    return new Fault(
      seen,
      at === 'the gateway'
        ? 'The gateway has no route for it: look at gateway/routes.yaml and UPSTREAMS.'
        : 'Something else answers at RECORDS_API_URL: check it.',
    );
  }
  if (status === 502)
    return new Fault(
      seen,
      'The gateway does not reach what is behind it: check UPSTREAMS, and that it runs.',
    );
  if (status === 503 && code === 'identity_unavailable')
    return new Fault(seen, `${at} cannot get keys or tokens: check AZURE_AUTHORITY_HOST and CA_FILE there.`);
  if (status === 503) return new Fault(seen, `${at} takes no work now: its /readyz names what fails.`);
  if (status === 504)
    return new Fault(seen, 'What is behind the gateway is too slow: countersign logs --slow 1s');
  if (status === 429) return new Fault(seen, 'The caller is over its rate limit (gateway/routes.yaml).');
  return new Fault(seen, 'Look at its log: countersign logs --status 5xx');
};

const assertReady = async (base: URL, at: string, dispatcher: Agent): Promise<void> => {
  const response = await fetch(new URL('/readyz', base), {
    dispatcher,
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error: unknown) => {
    throw new Fault(`${at} does not answer: ${networkCause(error)}`, `Start ${at}, or look at its log.`);
  });
  const { failed } = parse(await readBody(response));
  if (response.status !== 503 || !Array.isArray(failed)) return;
  const names = failed.join(', ');
  throw new Fault(`${at} is not ready: ${names}`, `Mend ${names}: its log says why, in a line "not ready".`);
};

const called = async (base: URL, path: string, at: string, token: string | undefined, dispatcher: Agent) => {
  const answer = await ask(new URL(path, base), token, dispatcher);
  if (answer.status >= 300) {
    if (answer.status === 503) await assertReady(base, at, dispatcher);
    throw faultOf(answer, at);
  }
  return { detail: `${answer.status} from ${base.host}` };
};

/** `PING`, as Redis and Valkey answer it; one that wants a password or TLS answers, too. */
const ping = (url: URL): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = createConnection({ host: url.hostname, port: Number(url.port) || 6379, timeout: 5000 });
    const fail = (reason: string): void => {
      socket.destroy();
      reject(
        new Fault(
          `Nothing answers at ${url.host} (${reason}).`,
          'Start Redis, or correct its address. Services go on without it: each caches and counts for itself.',
        ),
      );
    };
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString('utf8').split('\r', 1)[0] ?? '');
    });
    socket.once('timeout', () => fail('no answer within 5 s'));
    socket.once('error', ({ code = 'error' }: NodeJS.ErrnoException) => fail(code));
    socket.once('close', () => fail('closed'));
  });

/** The call itself: direct first, since the gateway can be no better than what is behind it. */
export const callSteps = (
  target: Target,
  dispatcher: Agent,
  { accessToken }: { accessToken: () => string | undefined },
): Step[] => [
  {
    name: 'records-api',
    title: 'records-api is there',
    needs: [],
    async examine() {
      const url = urlOf(target.recordsApiUrl, 'RECORDS_API_URL');
      await resolveHost(url.hostname);
      await reach(url);
      await assertReady(url, 'records-api', dispatcher);
      return { detail: `${url.host} is ready` };
    },
  },
  {
    name: 'direct',
    title: 'call of records-api',
    needs: ['records-api', 'policy'],
    examine: () =>
      called(
        urlOf(target.recordsApiUrl, 'RECORDS_API_URL'),
        '/api/records',
        'records-api',
        accessToken(),
        dispatcher,
      ),
  },
  {
    name: 'redis',
    title: 'Redis',
    needs: [],
    async examine() {
      const url = urlOf(target.redisUrl, 'TOKEN_CACHE_URL');
      await resolveHost(url.hostname);
      return {
        detail:
          url.protocol === 'rediss:'
            ? await reach(url).then(() => `${url.host} answers`)
            : `${url.host}: ${await ping(url)}`,
      };
    },
  },
  {
    name: 'gateway',
    title: 'gateway is there',
    needs: [],
    async examine() {
      const url = urlOf(target.gatewayUrl, 'GATEWAY_URL');
      await resolveHost(url.hostname);
      await reach(url);
      await assertReady(url, 'the gateway', dispatcher);
      return { detail: `${url.host} is ready` };
    },
  },
  {
    name: 'through-gateway',
    title: 'call through the gateway',
    needs: ['gateway', 'policy'],
    examine: () =>
      called(
        urlOf(target.gatewayUrl, 'GATEWAY_URL'),
        '/api/records',
        'the gateway',
        accessToken(),
        dispatcher,
      ),
  },
  {
    name: 'caller-api',
    title: 'caller-api, which takes its own token',
    needs: ['gateway'],
    examine: () =>
      called(urlOf(target.gatewayUrl, 'GATEWAY_URL'), '/caller/records', 'caller-api', undefined, dispatcher),
  },
];
