import { expect, test } from '@jest/globals';
import { checkLines } from './test-system.ts';

const line = (record: object) => ({
  service: 'caller-api',
  text: JSON.stringify(record),
  record: { ...record },
});

test('a clean log passes', () => {
  expect(() => checkLines([line({ msg: 'listening', kid: 'abc' })], ['the-secret'])).not.toThrow();
});

test.each([
  ['a line that is no object', { service: 'caller-api', text: 'Error: no' }, /no JSON object/],
  ['a token', line({ authorization: 'Bearer eyJhbGciOiJSUzI1NiJ9.eyJ9.c2ln' }), /a token/],
  ['the start of a token', line({ url: '/x?y=eyJhbGciOiJSUzI1NiJ9' }), /a token/],
  ['a secret', line({ msg: 'used the-secret here' }), /a secret/],
  ['a form with a credential', line({ body: 'grant_type=x&client_secret=y' }), /a credential/],
  ['a form with an assertion', line({ body: 'client_assertion=abc' }), /a credential/],
])('%s is found', (_, found, message) => {
  expect(() => checkLines([found], ['the-secret'])).toThrow(message);
});
