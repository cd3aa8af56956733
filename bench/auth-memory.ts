/**
 * Memory of a verifier that sees a million different tokens. Prints one line of JSON. The signatures are not checked
 * here: making a million of them would take ten minutes, and they leave nothing behind. Run with `--expose-gc`.
 */
import {
  createTokenVerifier,
  jwtEngine,
  type EngineVerifyOptions,
  type JwtEngine,
} from '../packages/shared-auth/src/verifier.ts';
import { clientId, createToken, jwks, origin, tenantId } from './auth-tokens.ts';

const tokens = 1_000_000;
const maxCachedTokens = 10_000;

const [header = '', payload = '', signature = ''] = createToken().split('.');
const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;

/** The same claims under another `uti`, under a signature that nobody checks. */
const differentToken = (serial: number): string => {
  const changed = Buffer.from(JSON.stringify({ ...claims, uti: `token-${serial}` })).toString('base64url');
  return `${header}.${changed}.${signature}`;
};

const engine: JwtEngine = async (token) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

const options: EngineVerifyOptions = { [jwtEngine]: engine };

const verifier = createTokenVerifier({
  authorityHost: origin,
  tenantId,
  clientId,
  maxCachedTokens,
  network: {
    request: async () => ({ status: 200, headers: {}, body: JSON.stringify(jwks) }),
    close: () => {},
  },
});

const heapMb = (): number => {
  if (globalThis.gc === undefined) throw new Error('run with --expose-gc');
  globalThis.gc();
  return Math.round((process.memoryUsage().heapUsed / 1024 / 1024) * 10) / 10;
};

const samples: { tokens: number; heapMb: number }[] = [];
for (let serial = 0; serial < tokens; serial += 1) {
  await verifier.verify(differentToken(serial), options);
  if ((serial + 1) % 100_000 === 0) samples.push({ tokens: serial + 1, heapMb: heapMb() });
}
const [first, ...others] = samples.map(({ heapMb }) => heapMb) as [number, ...number[]];
const growthMb = Math.round((Math.max(...others) - first) * 10) / 10;
process.stdout.write(
  `${JSON.stringify({ bench: 'auth-memory', node: process.version, samples, growthMb, stats: verifier.stats() })}\n`,
);
// Flat: what a hundred thousand tokens left behind is what a million leave.
if (growthMb > 5) throw new Error(`the heap grew by ${growthMb} MB`);
