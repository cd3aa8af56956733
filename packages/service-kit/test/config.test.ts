import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  commonSettings,
  ConfigError,
  fileTextSetting,
  guidSetting,
  httpsOriginSetting,
  parseConfig,
  portSetting,
} from '@countersign/service-kit';
import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';

const schema = z.object({
  ...commonSettings,
  PORT: portSetting.default(8081),
  AZURE_AUTHORITY_HOST: httpsOriginSetting,
  AZURE_TENANT_ID: guidSetting,
  CA_FILE: fileTextSetting.optional(),
});
const good = {
  AZURE_AUTHORITY_HOST: 'https://localhost:8443',
  AZURE_TENANT_ID: '10CA10CA-0000-4000-8000-10CA10CA10CA',
};

describe('parseConfig', () => {
  test('types what is there and fills in defaults', () => {
    expect(parseConfig(schema, { ...good, PORT: '', UNRELATED: 'x' })).toEqual({
      HOST: '127.0.0.1',
      LOG_LEVEL: 'info',
      DRAIN_DELAY_MS: 0,
      DRAIN_TIMEOUT_MS: 10_000,
      PORT: 8081,
      AZURE_AUTHORITY_HOST: new URL('https://localhost:8443'),
      AZURE_TENANT_ID: '10ca10ca-0000-4000-8000-10ca10ca10ca',
    });
  });

  test('names every wrong and missing setting in one message', () => {
    const parse = () =>
      parseConfig(schema, { PORT: '99999', AZURE_AUTHORITY_HOST: 'http://localhost', LOG_LEVEL: 'loud' });
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(/PORT must be at most 65535/);
    expect(parse).toThrow(
      /AZURE_AUTHORITY_HOST must be a URL that starts with https:\/\/, without credentials/,
    );
    expect(parse).toThrow(/AZURE_TENANT_ID is missing/);
    expect(parse).toThrow(/LOG_LEVEL/);
  });

  test.each([
    'https://user:password@localhost',
    'https://:password@localhost',
    'https://localhost/path',
    'https://localhost?x=1',
    'https://localhost#x',
    'localhost',
    'file:///etc',
  ])('refuses %s as the authority', (text) => {
    expect(() => parseConfig(schema, { ...good, AZURE_AUTHORITY_HOST: text })).toThrow(ConfigError);
  });

  test('reads a file, and says which one it cannot read', () => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-'));
    writeFileSync(join(folder, 'ca.pem'), 'certificate');
    writeFileSync(join(folder, 'empty.pem'), '\n');
    const parse = (name: string) => parseConfig(schema, { ...good, CA_FILE: join(folder, name) });
    expect(parse('ca.pem').CA_FILE).toBe('certificate');
    expect(() => parse('none.pem')).toThrow(
      /CA_FILE names the file .*none\.pem, which cannot be read \(ENOENT\)/,
    );
    expect(() => parse('empty.pem')).toThrow(/CA_FILE names the file .*empty\.pem, which is empty/);
  });
});
