/**
 * What a verification and an acquisition cost, side by side with what else there is for Node. Prints tables to standard
 * error and one line of JSON to standard output, and exits with 1 when a bar is missed. `--rounds N` (default 15).
 */
import { verify } from 'node:crypto';
import { parseArgs } from 'node:util';
import { createTokenVerifier, type TokenVerifierOptions } from '@countersign/shared-auth';
import { JwtVerifier } from 'aws-jwt-verify';
import { createVerifier } from 'fast-jwt';
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import { acquisitionCases } from './auth-acquisition.ts';
import { bareStack, expressBearer, koaJwtStack, ourStack, startKeyServer } from './auth-middleware.ts';
import {
  clientId,
  createPartsForVerify,
  createToken,
  issuer,
  jwks,
  origin,
  tenantId,
  verificationKey,
  verificationPem,
} from './auth-tokens.ts';
import { interleave, ratio, toTable, type BenchCase, type Medians } from './interleave.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '15' } } });
const rounds = Number(values.rounds);

const note = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

const token = createToken();
/** For cold runs, so that nobody's memory helps. */
const tokens = Array.from({ length: 200 }, createToken);
let turn = 0;
const nextToken = (): string => tokens[turn++ % tokens.length] as string;

const trust: TokenVerifierOptions = {
  authorityHost: origin,
  tenantId,
  clientId,
  network: {
    request: async () => ({ status: 200, headers: {}, body: JSON.stringify(jwks) }),
    close: () => {},
  },
};
const warm = createTokenVerifier(trust);
const cold = createTokenVerifier({ ...trust, maxCachedTokens: 0 });
await warm.verify(token);
await cold.ready();

const keySet = createRemoteJWKSet(new URL('https://keys.example/'), {
  [customFetch]: async () => Response.json(jwks),
});
const jose = (each: string) => jwtVerify(each, keySet, { issuer, audience: clientId, algorithms: ['RS256'] });

const fastJwtOptions = {
  key: verificationPem,
  algorithms: ['RS256' as const],
  allowedIss: issuer,
  allowedAud: clientId,
};
const fastJwtCached = createVerifier({ ...fastJwtOptions, cache: true });
const fastJwt = createVerifier({ ...fastJwtOptions, cache: false });

const aws = JwtVerifier.create({ issuer, audience: clientId, jwksUri: 'https://keys.example/' });
aws.cacheJwks(jwks as never);

const keyServer = await startKeyServer();
const bare = bareStack();
const oursWarm = ourStack(warm);
const oursCold = ourStack(cold);
const koaJwt = koaJwtStack(keyServer.url);
const express = expressBearer(keyServer.url);

const parts = tokens.map(createPartsForVerify);
const verifyBare = (): boolean => {
  const { data, signature } = parts[turn++ % parts.length] as (typeof parts)[0];
  return verify('sha256', data, verificationKey, signature);
};

const verifierCases: BenchCase[] = [
  // As the Koa adapter calls it: a token that is remembered needs no promise.
  { name: 'warm ours', operations: 2000, run: () => warm.recall(token) ?? warm.verify(token) },
  { name: 'warm ours, awaiting verify()', operations: 2000, run: () => warm.verify(token) },
  { name: 'warm fast-jwt, cache', operations: 2000, run: () => fastJwtCached(token) },
  { name: 'cold ours', operations: 400, run: () => cold.verify(nextToken()) },
  { name: 'cold crypto.verify, KeyObject', operations: 400, run: verifyBare },
  { name: 'cold fast-jwt', operations: 200, run: () => fastJwt(nextToken()) },
  { name: 'cold aws-jwt-verify', operations: 200, run: () => aws.verifySync(nextToken()) },
  { name: 'cold jose jwtVerify, remote JWKS', operations: 200, run: () => jose(nextToken()) },
];

const middlewareCases: BenchCase[] = [
  { name: 'koa nothing', operations: 500, run: () => bare(token) },
  { name: 'koa warm ours', operations: 500, run: () => oursWarm(token) },
  { name: 'koa cold ours', operations: 200, run: () => oursCold(nextToken()) },
  { name: 'koa koa-jwt + jwks-rsa', operations: 200, run: () => koaJwt(nextToken()) },
  { name: 'express express-oauth2-jwt-bearer', operations: 200, run: () => express(nextToken()) },
];

const medians: Record<string, number> = {};
const measure = async (title: string, cases: readonly BenchCase[]): Promise<Medians> => {
  const measured = await interleave(cases, rounds);
  note(`\n${title}\n${toTable(measured)}`);
  Object.assign(medians, measured);
  return measured;
};

await measure('Verifier: token in, principal out', verifierCases);
await measure('Middleware: a request in, the next in line called', middlewareCases);
for (const count of [1, 100, 1000]) {
  await measure(`Warm acquisition, ${count} resource(s)`, await acquisitionCases(count));
}
keyServer.close();

/** What a middleware adds to Koa itself. */
const added = (name: string): number => (medians[name] ?? 0) - (medians['koa nothing'] ?? 0);

const ratios = {
  'warm/fast-jwt-cache': ratio(medians['warm ours'], medians['warm fast-jwt, cache']),
  'warm/koa-jwt+jwks-rsa': ratio(added('koa warm ours'), added('koa koa-jwt + jwks-rsa')),
  'warm-verifier/koa-jwt+jwks-rsa': ratio(medians['warm ours'], added('koa koa-jwt + jwks-rsa')),
  'cold/crypto.verify': ratio(medians['cold ours'], medians['cold crypto.verify, KeyObject']),
  'cold-koa/koa-jwt+jwks-rsa': ratio(added('koa cold ours'), added('koa koa-jwt + jwks-rsa')),
  'cold/jose': ratio(medians['cold ours'], medians['cold jose jwtVerify, remote JWKS']),
  'cold/aws-jwt-verify': ratio(medians['cold ours'], medians['cold aws-jwt-verify']),
  'token/msal-1': ratio(medians['token ours, 1'], medians['token msal-node, 1']),
  'token/msal-100': ratio(medians['token ours, 100'], medians['token msal-node, 100']),
  'token/msal-1000': ratio(medians['token ours, 1000'], medians['token msal-node, 1000']),
  'token-1000/token-1': ratio(medians['token ours, 1000'], medians['token ours, 1']),
};
note(
  `\nRatios, ours to theirs\n${Object.entries(ratios)
    .map(([name, value]) => `  ${name.padEnd(48)}${value}`)
    .join('\n')}`,
);
const rounded = Object.fromEntries(
  Object.entries(medians).map(([name, us]) => [name, Number(us.toFixed(2))]),
);
process.stdout.write(
  `${JSON.stringify({ bench: 'auth', node: process.version, rounds, ratios, medians: rounded })}\n`,
);

/** The most that each of these may be. */
const bars: Readonly<Partial<Record<keyof typeof ratios, number>>> = {
  'warm/fast-jwt-cache': 0.6,
  'warm/koa-jwt+jwks-rsa': 1 / 25,
  'cold/crypto.verify': 2.5,
  'token/msal-1': 1 / 50,
  'token/msal-1000': 1 / 500,
};
for (const [name, bar] of Object.entries(bars)) {
  const measured = ratios[name as keyof typeof ratios];
  // Also for NaN, which is what a case that was renamed gives.
  if (!(measured <= bar)) {
    note(`missed: ${name} is ${measured}, and may be ${bar.toPrecision(3)}`);
    process.exitCode = 1;
  }
}
