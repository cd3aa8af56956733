import { expect, test } from '@jest/globals';
import { readableLog } from '../src/readable-log.ts';
import { jsonText } from '../src/terminal.ts';

const hostile = '\u001B[2J\u009B31m\u202E\n';

test('a line of the log cannot act on the terminal that start writes to', () => {
  const readable = readableLog(false);
  const record = {
    level: 'info',
    'service.name': hostile,
    'http.request.method': hostile,
    'url.path': hostile,
    'error.type': hostile,
    err: { message: hostile },
    msg: hostile,
  };
  const { 'http.request.method': _, ...other } = record;
  for (const line of [{ record }, { record: other }, {}]) {
    const shown = readable({ service: 'gateway', text: hostile, ...line });
    // oxlint-disable-next-line no-control-regex
    expect(shown).not.toMatch(/[\u001B\u009B\u202E]|\n./);
  }
});

test('JSON for a terminal reads the same', () => {
  const value = { [hostile]: [hostile, 'ü', '🙂'] };
  expect(JSON.parse(jsonText(value, 2))).toEqual(value);
});
