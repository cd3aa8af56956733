import {
  createEntraNetwork,
  explainToken,
  type ExplainedCheck,
  type TokenExplanation,
} from '@countersign/shared-auth';
import type { Command } from 'commander';
import { exitCodes } from '../exit-codes.ts';
import { addTargetOptions, readTarget, readText, type Target, type TargetOptions } from '../target.ts';
import { oneLine, type Paint, painter, shown, type Terminal, writeJson } from '../terminal.ts';
import { CommandError, UsageError } from '../command-error.ts';
import { meaningOf } from './claim-meanings.ts';
import { readToken } from './read-token.ts';

interface ExplainCommandOptions extends TargetOptions {
  method: string;
  keys?: string;
  fetchKeys?: boolean;
  json?: boolean;
}

type Keys = readonly Readonly<Record<string, unknown>>[];

const keysIn = (text: string, source: string): Keys => {
  try {
    const { keys } = JSON.parse(text) as { keys?: unknown };
    if (Array.isArray(keys)) return keys as Keys;
  } catch {
    // Said below, as for any other text.
  }
  throw new UsageError(`${source} holds no keys: expected a JSON Web Key Set, {"keys": […]}.`);
};

/** The public keys alone are asked for; the token stays here. */
const fetchKeys = async ({ authorityHost, tenantId, ca }: Target): Promise<Keys> => {
  const url = new URL(`/${tenantId}/discovery/v2.0/keys`, authorityHost).href;
  const network = createEntraNetwork(ca === undefined ? {} : { ca });
  try {
    const { status, body } = await network.request(url);
    if (status !== 200) throw new CommandError(`The keys cannot be had: ${url} answers ${status}.`);
    return keysIn(body, url);
  } finally {
    network.close();
  }
};

const guid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The claims without any check, for what nobody said what to compare with. */
const peek = (token: string): Readonly<Record<string, unknown>> => {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return Object(claims) as Record<string, unknown>;
  } catch {
    return {};
  }
};

const nobody = '00000000-0000-0000-0000-000000000000';
const asGuid = (value: unknown): string => (typeof value === 'string' && guid.test(value) ? value : nobody);

const originIn = (issuer: unknown): string => {
  const url = typeof issuer === 'string' && URL.canParse(issuer) ? new URL(issuer) : undefined;
  return url?.protocol === 'https:' && url.hostname !== 'sts.windows.net'
    ? url.origin
    : 'https://login.microsoftonline.com';
};

/** What has to be given for a check to say anything. */
const needs = { tenant: '--tenant', issuer: '--tenant and --authority', audience: '--api' } as const;

/** Every check on a token. What nobody said is taken from the token itself, and its check left open. */
export const explain = (
  token: string,
  target: Target,
  { keys, method, nowMs }: { keys: Keys | undefined; method: string; nowMs: number },
): TokenExplanation => {
  const said = peek(token);
  const explanation = explainToken(token, {
    authorityHost: target.authorityHost ?? originIn(said['iss']),
    tenantId: target.tenantId ?? asGuid(said['tid']),
    clientId: target.apiClientId ?? asGuid(said['aud']),
    ...(target.apiClientId === undefined && { appIdUris: [String(said['aud'])] }),
    versions: target.takesV1 ? ['2.0', '1.0'] : ['2.0'],
    policy: { appRole: target.role },
    method,
    nowMs,
    ...(keys !== undefined && { keys }),
  });
  const unknown = new Set<string>([
    ...(target.tenantId === undefined ? ['tenant', 'issuer'] : []),
    ...(target.authorityHost === undefined ? ['issuer'] : []),
    ...(target.apiClientId === undefined ? ['audience'] : []),
  ]);
  if (unknown.size === 0) return explanation;
  const checks = explanation.checks.map((each): ExplainedCheck => {
    if (!unknown.has(each.check) || each.verdict !== 'passed') return each;
    const cause = `Nobody said what to compare it with: give ${needs[each.check as keyof typeof needs]}.`;
    return { check: each.check, verdict: 'skipped', found: each.found, cause };
  });
  const verdict = explanation.verdict === 'accepted' ? 'incomplete' : explanation.verdict;
  return { ...explanation, verdict, checks };
};

const marks = { passed: ['green', '✓'], failed: ['red', '✗'], skipped: ['gray', '·'] } as const;

const checkLines = ({ check, verdict, found, expected, cause }: ExplainedCheck, paint: Paint): string[] => {
  const [colour, mark] = marks[verdict];
  const line = `  ${paint(colour, mark)} ${check.padEnd(13)} ${found === undefined ? '' : shown(found, 90)}`;
  if (verdict === 'passed') return [line.trimEnd()];
  return [
    line.trimEnd(),
    ...(verdict === 'failed' && expected !== undefined ? [`      expected ${shown(expected)}`] : []),
    ...(cause === undefined
      ? []
      : [paint(verdict === 'failed' ? 'yellow' : 'gray', `      ${oneLine(cause)}`)]),
  ];
};

const headline = (explanation: TokenExplanation, paint: Paint): string => {
  const failed = explanation.checks.find(({ verdict }) => verdict === 'failed');
  if (failed) {
    const status = failed.check === 'policy' ? '403' : '401';
    return `${paint(['bold', 'red'], `refused (${status})`)}: ${failed.check}. ${oneLine(failed.cause ?? '')}`;
  }
  if (explanation.verdict === 'accepted') return paint(['bold', 'green'], 'accepted: every check passes');
  return `${paint(['bold', 'yellow'], 'nothing is wrong')} in what could be checked; see what was left open`;
};

const render = (explanation: TokenExplanation, source: string, nowMs: number, paint: Paint): string => {
  const { claims = {}, checks } = explanation;
  const widest = Math.min(Math.max(0, ...Object.keys(claims).map(({ length }) => length)), 24);
  return [
    headline(explanation, paint),
    '',
    `Checks, in the order of the API, by ${source}:`,
    ...checks.flatMap((check) => checkLines(check, paint)),
    ...(Object.keys(claims).length > 0 ? ['', 'Claims:'] : []),
    ...Object.keys(claims).map((name) => {
      const value = shown(claims[name], 100);
      return `  ${paint('cyan', oneLine(name).padEnd(widest))} ${value}\n  ${' '.repeat(widest)} ${paint('gray', meaningOf(name, claims, nowMs))}`;
    }),
    '',
  ].join('\n');
};

/** `countersign explain`: why a token is taken or refused. */
export const addExplain = (program: Command, terminal: Terminal): void => {
  const command = program
    .command('explain')
    .summary('say why a token is taken or refused')
    .description(
      'Makes every check of the API on a token, and says what each claim means. The token never leaves this machine, and without --fetch-keys nothing does.',
    )
    .argument(
      '[token]',
      'the token, which others on the machine then see; "-" or nothing reads standard input, or asks for it',
    );
  addTargetOptions(command)
    .option('--keys <file>', 'keys of the authority, to verify the signature with')
    .option('--fetch-keys', 'ask the authority for its public keys')
    .option('--method <method>', 'method of the request that was refused', 'GET')
    .option('--json', 'for programs')
    .addHelpText(
      'after',
      `
Examples:
  npm run -s token -- api3 | countersign explain
  countersign explain --fetch-keys            then paste
  countersign explain --tenant <id> --api <client id> --authority https://login.microsoftonline.com < token.txt

Ends with 1 when the token is refused.`,
    )
    .action(async (argument: string | undefined, options: ExplainCommandOptions) => {
      const target = readTarget(options, terminal.env);
      const token = await readToken(argument, terminal);
      if (options.fetchKeys && (target.authorityHost === undefined || target.tenantId === undefined)) {
        throw new UsageError('--fetch-keys needs --authority and --tenant.');
      }
      const given =
        options.keys === undefined
          ? undefined
          : keysIn(readText(options.keys, 'The file of keys'), options.keys);
      const keys = options.fetchKeys ? await fetchKeys(target) : given;
      const nowMs = Date.now();
      let explanation: TokenExplanation;
      try {
        explanation = explain(token, target, { keys, method: options.method.toUpperCase(), nowMs });
      } catch (error) {
        if (error instanceof TypeError) throw new UsageError(`The options cannot be used: ${error.message}.`);
        throw error;
      }
      const { claims = {} } = explanation;
      const meanings = Object.fromEntries(
        Object.keys(claims).map((name) => [name, meaningOf(name, claims, nowMs)]),
      );
      if (options.json) writeJson(terminal.stdout, { ...explanation, meanings });
      else terminal.stdout.write(render(explanation, target.source, nowMs, painter(terminal.stdout)));
      terminal.end(explanation.verdict === 'refused' ? exitCodes.fault : exitCodes.done);
    });
};
