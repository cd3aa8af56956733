import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { createTokenVerifier, InvalidTokenError } from '../src/index.ts';
import { topLevelKeys } from '../src/json-keys.ts';
import { apiClientId, createStaticIssuer, mint, tenantId } from './test-issuer.ts';

const now = Date.parse('2026-11-22T20:00:00Z');
const issuer = createStaticIssuer();
const createVerifier = () =>
  createTokenVerifier({
    authorityHost: issuer.origin,
    tenantId,
    clientId: apiClientId,
    network: issuer.network,
    clock: () => now,
  });
const token = mint(issuer, now);

/** Refused, or the same principal: never another one, and never another kind of error. */
const assertRefusedOrSame = async (mutated: string): Promise<void> => {
  // One verifier for the original and the mutant, so that the memory of verified tokens is attacked too.
  const verifier = createVerifier();
  const original = await verifier.verify(token);
  const outcome = await verifier.verify(mutated).catch((error: unknown) => error);
  if (outcome instanceof InvalidTokenError) return;
  expect(outcome).toEqual(original);
};

const position = fc.nat(token.length - 1);
const runs = { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 300) };

test('every single character matters', async () => {
  for (let index = 0; index < token.length; index += 1) {
    const other = token[index] === 'A' ? 'B' : 'A';
    const mutated = `${token.slice(0, index)}${other}${token.slice(index + 1)}`;
    // A new one each time: of several unknown kids only the first is looked for.
    const verifier = createVerifier();
    await verifier.verify(token);
    await expect(verifier.verify(mutated)).rejects.toBeInstanceOf(InvalidTokenError);
  }
}, 30_000);

/** fast-check names the counterexample in its error. */
const holds = async <T>(property: fc.IAsyncProperty<T>): Promise<boolean> => {
  await fc.assert(property, runs);
  return true;
};

test('a replaced character', async () => {
  const character = fc.string({ minLength: 1, maxLength: 1, unit: 'binary' });
  const property = fc.asyncProperty(position, character, (at, text) =>
    assertRefusedOrSame(`${token.slice(0, at)}${text}${token.slice(at + 1)}`),
  );
  expect(await holds(property)).toBe(true);
});

test('inserted text', async () => {
  const property = fc.asyncProperty(position, fc.string(), (at, text) =>
    assertRefusedOrSame(`${token.slice(0, at)}${text}${token.slice(at)}`),
  );
  expect(await holds(property)).toBe(true);
});

test('a part cut out, doubled or moved', async () => {
  const kind = fc.constantFrom('cut', 'double', 'move');
  const property = fc.asyncProperty(position, position, position, kind, (a, b, at, how) => {
    const [from, to] = a < b ? [a, b] : [b, a];
    const part = token.slice(from, to);
    const rest = `${token.slice(0, from)}${token.slice(to)}`;
    if (how === 'cut') return assertRefusedOrSame(rest);
    const target = how === 'double' ? token : rest;
    return assertRefusedOrSame(`${target.slice(0, at)}${part}${target.slice(at)}`);
  });
  expect(await holds(property)).toBe(true);
});

test('a flipped bit of the decoded parts', async () => {
  const property = fc.asyncProperty(fc.nat(2), fc.nat(), fc.nat(7), (part, at, bit) => {
    const segments = token.split('.').map((segment) => Buffer.from(segment, 'base64url'));
    const bytes = segments[part] as Buffer;
    const index = at % bytes.length;
    bytes[index] = (bytes[index] as number) ^ (1 << bit);
    return assertRefusedOrSame(segments.map((segment) => segment.toString('base64url')).join('.'));
  });
  expect(await holds(property)).toBe(true);
});

test('anything that is not a token', async () => {
  const property = fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 3000 }), assertRefusedOrSame);
  expect(await holds(property)).toBe(true);
});

test('claims of any shape, signed by the right key, make no other error', async () => {
  const verifier = createVerifier();
  const property = fc.asyncProperty(fc.dictionary(fc.string(), fc.jsonValue()), async (claims) => {
    const outcome = await verifier
      .verify(mint(issuer, now, claims as Record<string, unknown>))
      .catch((error: unknown) => error);
    expect(outcome instanceof Error ? outcome.name : 'none').toMatch(/^(none|InvalidTokenError)$/);
  });
  expect(await holds(property)).toBe(true);
});

test('the names of an object are found as JSON.parse finds them', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true }),
      fc.nat(4),
      (value, indent) => {
        const json = JSON.stringify(value, undefined, indent);
        expect(topLevelKeys(json).toSorted()).toEqual(Object.keys(JSON.parse(json) as object).toSorted());
      },
    ),
    { numRuns: 1000 },
  );
});
