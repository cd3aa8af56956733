import { STATUS_CODES } from 'node:http';
import { getCACertificates } from 'node:tls';
import type { Command } from 'commander';
import { Agent, fetch, Request, type Response } from 'undici';
import { exitCodes } from './exit-codes.ts';
import { addTargetOptions, readTarget, readText, type Target, type TargetOptions } from './target.ts';
import { jsonText, oneLine, type Paint, painter, printable, type Terminal } from './terminal.ts';
import { claimsOf, masked, takeTokenFor } from './token.ts';
import { CommandError, UsageError } from './command-error.ts';

interface CallOptions extends TargetOptions {
  header: string[];
  body?: string;
  timeout: string;
  token: boolean;
  showToken?: boolean;
  claims?: boolean;
  json?: boolean;
}

interface Exchange {
  request: { method: string; url: string; headers: Record<string, string> };
  claims: Record<string, unknown> | undefined;
  response: { status: number; headers: Record<string, string>; body: string };
  tokenMs: number | undefined;
  durationMs: number;
}

/** An answer is read up to this length. */
const maxBodyBytes = 4 * 1024 * 1024;

/** Trusts these certificates on top of Node's own. */
export const agentFor = (ca: string | undefined): Agent =>
  new Agent(ca === undefined ? {} : { connect: { ca: [...getCACertificates('default'), ca] } });

/** Why a request never got an answer, without the wrapping of `fetch`. */
export const networkCause = (error: unknown): string => {
  const { message, code, cause } = error as { message: string; code?: string; cause?: unknown };
  if (cause instanceof Error) return networkCause(cause);
  return message || String(code);
};

/** The beginning of an answer: it may have no end. */
export const readBody = async (response: Response): Promise<string> => {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    chunks.push(chunk);
    if (size > maxBodyBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxBodyBytes).toString('utf8');
};

const headersOf = (lines: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    lines.map((line) => {
      const [, name, value] = /^([!#$%&'*+.^`|~\w-]+):\s*(.*)$/.exec(line) ?? [];
      if (name === undefined || value === undefined) {
        throw new UsageError(`--header has to be "Name: value": ${line}`);
      }
      return [name.toLowerCase(), value];
    }),
  );

const urlOf = (text: string, { gatewayUrl }: Target): URL => {
  const base = text.startsWith('/') ? gatewayUrl : undefined;
  if (!URL.canParse(text, base)) {
    throw new UsageError(
      text.startsWith('/')
        ? `A path needs --gateway <url>, or a system that runs: ${text}`
        : `Not an address: ${text}`,
    );
  }
  const url = new URL(text, base);
  if (!/^https?:$/.test(url.protocol)) throw new UsageError(`Only http: and https: can be called: ${text}`);
  if (url.username || url.password) throw new UsageError('The address must hold no password: use --header.');
  return url;
};

/** Plain HTTP carries a token to this machine alone, unless the address is one that was configured. */
const assertSafe = (url: URL, { gatewayUrl, recordsApiUrl }: Target): void => {
  const configured = [gatewayUrl, recordsApiUrl].map((each) => URL.parse(each ?? '')?.origin);
  const isLocal = /^(localhost|127(\.\d+){3}|\[::1\]|.*\.localhost)$/.test(url.hostname);
  if (url.protocol === 'https:' || isLocal || configured.includes(url.origin)) return;
  throw new UsageError(`A token over plain http: would be readable on the way to ${url.host}: use https:.`);
};

/** What fetch would refuse: a GET with a body, a header that is none. */
const requestOf = (url: URL, init: ConstructorParameters<typeof Request>[1]): Request => {
  try {
    return new Request(url, init);
  } catch (error) {
    throw new UsageError(`The request cannot be made: ${(error as Error).message}`);
  }
};

const exchange = async (
  method: string,
  url: URL,
  target: Target,
  options: CallOptions,
): Promise<Exchange> => {
  const given = headersOf(options.header);
  const startedMs = performance.now();
  if (options.token) assertSafe(url, target);
  const accessToken = options.token ? (await takeTokenFor(target)).accessToken : undefined;
  const tokenMs = accessToken === undefined ? undefined : performance.now() - startedMs;
  const body = options.body?.startsWith('@') ? readText(options.body.slice(1), 'The body') : options.body;
  const headers = {
    accept: 'application/json',
    ...(body !== undefined && { 'content-type': 'application/json' }),
    ...given,
    ...(accessToken !== undefined && { authorization: `Bearer ${accessToken}` }),
  };
  const init = { method, headers, ...(body !== undefined && { body }), redirect: 'manual' } as const;
  const request = requestOf(url, init);
  const dispatcher = agentFor(target.ca);
  const sentMs = performance.now();
  try {
    const response = await fetch(request, {
      dispatcher,
      signal: AbortSignal.timeout(Number(options.timeout) * 1000),
    });
    const text = await readBody(response);
    return {
      request: { method, url: url.href, headers },
      claims: accessToken === undefined ? undefined : claimsOf(accessToken),
      response: { status: response.status, headers: Object.fromEntries(response.headers), body: text },
      tokenMs,
      durationMs: performance.now() - sentMs,
    };
  } catch (error) {
    throw new CommandError(`No answer from ${url.origin}: ${networkCause(error)}`);
  } finally {
    void dispatcher.destroy();
  }
};

const pretty = (body: string): string => {
  try {
    return jsonText(JSON.parse(body), 2);
  } catch {
    return printable(body);
  }
};

const statusStyle = (status: number) => (status < 400 ? 'green' : status < 500 ? 'yellow' : 'red');

const render = (
  { request, response, claims, tokenMs, durationMs }: Exchange,
  options: CallOptions,
  paint: Paint,
): string => {
  const headerLines = (sign: string, headers: Record<string, string>): string[] =>
    Object.entries(headers).map(
      ([name, value]) => `${paint('gray', sign)} ${paint('cyan', name)}: ${oneLine(value)}`,
    );
  const { status } = response;
  return [
    ...(tokenMs === undefined ? [] : [paint('gray', `* token taken in ${tokenMs.toFixed(0)} ms`)]),
    ...(options.claims && claims ? [jsonText(claims, 2)] : []),
    `${paint('gray', '>')} ${paint('bold', request.method)} ${request.url}`,
    ...headerLines('>', request.headers),
    '',
    `${paint('gray', '<')} ${paint(['bold', statusStyle(status)], `${status} ${STATUS_CODES[status] ?? ''}`)} ${paint('gray', `in ${durationMs.toFixed(0)} ms`)}`,
    ...headerLines('<', response.headers),
    '',
    pretty(response.body),
    '',
  ].join('\n');
};

/** `countersign call`: one request with a token, and everything that went over the wire. */
export const addCall = (program: Command, { env, stdout, end }: Terminal): void => {
  const command = program
    .command('call')
    .summary('call an address with a token, and show the exchange')
    .description(
      'Takes a token by the configured credentials, calls with it, and shows the exchange; the token masked.',
    )
    .argument('<method>')
    .argument('<url>', 'an address, or a path of the gateway');
  addTargetOptions(command)
    .option(
      '-H, --header <line>',
      'send a header; may be repeated',
      (line, lines: string[]) => [...lines, line],
      [],
    )
    .option('--body <text>', 'send a body, JSON unless a header says otherwise; @file reads a file')
    .option('--timeout <seconds>', 'how long to wait for the answer', '30')
    .option('--no-token', 'call without a token')
    .option('--show-token', 'show the token itself')
    .option('--claims', 'show what the token says')
    .option('--json', 'for programs')
    .addHelpText(
      'after',
      `
Examples:
  countersign call GET /api/records
  countersign call GET /api/records --as api3 --claims
  countersign call POST /api/records --body '{"name":"New","description":"One more"}'
  countersign call GET https://api.example/api/records --env-file caller.env

Ends with 1 when the answer is 400 or above, or when none came.`,
    )
    .action(async (method: string, url: string, options: CallOptions) => {
      if (!/^[a-z]{1,20}$/i.test(method)) throw new UsageError(`Not a method: ${method}`);
      if (!(Number(options.timeout) > 0 && Number(options.timeout) <= 600)) {
        throw new UsageError('--timeout has to be above 0 and up to 600 seconds.');
      }
      const target = readTarget(options, env);
      const address = urlOf(url, target);
      const made = await exchange(method.toUpperCase(), address, target, options);
      const text = options.json ? `${jsonText(made, 2)}\n` : render(made, options, painter(stdout));
      // The answer may repeat it.
      const sent = /^Bearer\s+(\S+)$/i.exec(made.request.headers['authorization'] ?? '')?.[1];
      stdout.write(options.showToken || !sent ? text : text.replaceAll(sent, masked(sent)));
      end(made.response.status < 400 ? exitCodes.done : exitCodes.fault);
    });
};
