import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AxeBuilder } from '@axe-core/playwright';
import { localApplications, localTenantId, recordsApiScope, startService } from '@countersign/cli';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Browser, BrowserContext, Page, Response } from 'playwright-core';
import { startTestSystem, type TestSystem } from '../system/test-system.ts';
import { launchChromium } from './chromium.ts';
import { themes } from './shown-pages.ts';

let system: TestSystem;
let browser: Browser;
let context: BrowserContext;
let page: Page;

/** What the way between caller-api and records-api does. */
type Weather = 'fine' | 'without token' | 'silent' | 'cut' | 'other page' | 'read only' | 429 | 500 | 503;
let weather: Weather = 'fine';

const way = createServer((incoming, outgoing) => {
  if (weather === 'silent') return;
  if (weather === 'cut') {
    outgoing.destroy();
    return;
  }
  if (weather === 'other page') {
    outgoing.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Sign in</h1>');
    return;
  }
  const refusal = weather === 'read only' && incoming.method !== 'GET' ? 403 : weather;
  if (typeof refusal === 'number') {
    outgoing.writeHead(refusal, { 'content-type': 'application/problem+json', 'retry-after': '30' });
    outgoing.end(JSON.stringify({ status: refusal, code: 'made_up', requestId: 'request-0001' }));
    return;
  }
  const { authorization = '', ...headers } = incoming.headers;
  const options = {
    method: incoming.method,
    headers: weather === 'without token' ? headers : { ...headers, authorization },
  };
  const forwarded = httpRequest(system.recordsApiUrl + incoming.url, options, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
    answer.pipe(outgoing);
  });
  incoming.pipe(forwarded);
});

beforeAll(async () => {
  await new Promise<void>((resolve) => {
    way.listen(0, '127.0.0.1', resolve);
  });
  system = await startTestSystem({
    settings: {
      'caller-api': {
        RECORDS_API_URL: `http://127.0.0.1:${(way.address() as AddressInfo).port}`,
        RECORDS_API_TIMEOUT_MS: '2000',
      },
    },
  });
  browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
  way.closeAllConnections();
  way.close();
  await system?.[Symbol.asyncDispose]();
});

let complaints: string[] = [];

beforeEach(async () => {
  weather = 'fine';
  complaints = [];
  // Without JavaScript: nothing here may need it.
  context = await browser.newContext({ baseURL: system.gatewayUrl, javaScriptEnabled: false });
  page = await context.newPage();
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) complaints.push(message.text());
  });
});

afterEach(async () => {
  await context.close();
});

/** axe runs in the page, so that this takes one with JavaScript. */
const violations = async (html: string, url: string): Promise<string[]> => {
  const found: string[] = [];
  for (const colorScheme of themes) {
    const looking = await browser.newContext({ colorScheme });
    const copy = await looking.newPage();
    await copy.route(url, (route) => route.fulfill({ body: html, contentType: 'text/html; charset=utf-8' }));
    await copy.goto(url);
    const { violations: of } = await new AxeBuilder({ page: copy }).analyze();
    found.push(
      ...of.flatMap(({ id, nodes }) => nodes.map(({ html: node }) => `${colorScheme}: ${id}: ${node}`)),
    );
    await looking.close();
  }
  return found;
};

/** What holds for every page. */
const expectSound = async (): Promise<void> => {
  expect(await violations(await page.content(), page.url())).toEqual([]);
  expect(complaints).toEqual([]);
  expect(await page.content()).not.toMatch(/eyJ[\w-]{10,}\.eyJ/);
  // The style sheet is the one that the policy allows, and was taken.
  expect(await page.evaluate(`getComputedStyle(document.querySelector('main')).maxWidth`)).toBe('960px');
};

const stepsOf = async (): Promise<string[]> =>
  (await page.locator('.steps tbody tr').all()).length === 0
    ? []
    : Promise.all(
        (await page.locator('.steps tbody tr').all()).map(async (row) =>
          `${await row.locator('th').textContent()} ${await row.locator('td').first().textContent()}`.trim(),
        ),
      );

describe('the records', () => {
  test('ten in a table, with how the page came to be', async () => {
    const response = await page.goto('/caller/records');
    expect(response?.status()).toBe(200);
    expect(await page.locator('.wide tbody th').allTextContents()).toEqual(
      Array.from({ length: 10 }, (_, index) => `Record ${index + 1}`),
    );
    await page.reload();
    expect(await stepsOf()).toEqual(['token cache hit', 'records-api GET 200', 'this page']);
    const panel = page.locator('section', { hasText: 'How this page came to be' });
    expect(await panel.locator('code').allTextContents()).toEqual([
      'access_as_application_API1',
      'write_as_application_API1',
      expect.stringMatching(/^[\da-f-]{36}$/),
    ]);
    await expectSound();
  });

  test('the next page, and the first one again', async () => {
    await page.goto('/caller/records?limit=4');
    await page.getByRole('link', { name: 'Next page' }).click();
    await page.getByRole('link', { name: 'Next page' }).click();
    expect((await page.locator('.wide tbody th').allTextContents()).slice(0, 2)).toEqual([
      'Record 9',
      'Record 10',
    ]);
    await expectSound();
    await page.getByRole('link', { name: 'First page' }).click();
    expect(await page.locator('.wide tbody th').first().textContent()).toBe('Record 1');
  });
});

describe('the forms', () => {
  test('add a record; loading the page again adds none', async () => {
    await page.goto('/caller/records');
    await page.getByRole('link', { name: 'Add a record' }).click();
    await expectSound();
    await page.getByLabel('Name').fill('From <b>Chromium</b>');
    await page.getByLabel('Description').fill('first line\nsecond line');
    await page.getByLabel('Date').fill('2026-05-06T07:08');
    await page.getByRole('button', { name: 'Add the record' }).click();
    expect(await page.getByRole('status').textContent()).toBe('The record was added.');
    const { pathname } = new URL(page.url());
    await page.reload();
    await expectSound();
    const response = await system.fetch(`${system.gatewayUrl}${pathname}`);
    expect(await response.json()).toMatchObject({
      name: 'From <b>Chromium</b>',
      description: 'first line\nsecond line',
      date: '2026-05-06T07:08:00.000Z',
    });
    const all = await system.fetch(
      `${system.gatewayUrl}/caller/records?limit=100&name=From%20%3Cb%3EChromium%3C/b%3E`,
    );
    expect(await all.json()).toHaveLength(1);
  });

  test('edit a record', async () => {
    await page.goto('/caller/records/3');
    expect(await page.getByLabel('Name').inputValue()).toBe('Record 3');
    await page.getByLabel('Description').fill('edited');
    await page.getByRole('button', { name: 'Save' }).click();
    expect(await page.getByRole('status').textContent()).toBe('The record was changed.');
    expect(await page.getByLabel('Description').inputValue()).toBe('edited');
    expect(await page.getByLabel('Date').inputValue()).toBe('2026-01-03T00:00');
    await expectSound();
  });

  test('a conflict shows both versions, and loses none', async () => {
    await page.goto('/caller/records/4');
    const other = await context.newPage();
    await other.goto('/caller/records/4');
    await other.getByLabel('Name').fill('The other');
    await other.getByRole('button', { name: 'Save' }).click();
    await page.getByLabel('Name').fill('Mine');
    const [response] = await Promise.all([
      page.waitForResponse((answer) => answer.request().method() === 'POST'),
      page.getByRole('button', { name: 'Save' }).click(),
    ]);
    expect(response.status()).toBe(412);
    expect(await page.locator('.wide tbody tr').first().locator('td').allTextContents()).toEqual([
      'The other',
      'Mine',
    ]);
    await expectSound();
    await page.getByRole('button', { name: 'Save mine' }).click();
    expect(await page.getByRole('status').textContent()).toBe('The record was changed.');
    expect(await page.getByLabel('Name').inputValue()).toBe('Mine');
  });

  test('what is wrong is said at its field, and what was typed stays', async () => {
    await page.goto('/caller/records/new');
    await page.getByLabel('Description').fill('stays');
    await page.getByLabel('Date').fill('2026-05-06T07:08');
    // The browser would not send the form without a name.
    await page.evaluate(`document.forms[0].noValidate = true`);
    await page.getByRole('button', { name: 'Add the record' }).click();
    expect(await page.locator('#name-wrong').textContent()).toContain('Name must be 1 to 200 characters');
    expect(await page.getByLabel('Name').getAttribute('aria-describedby')).toBe('name-wrong name-hint');
    expect(await page.getByLabel('Description').inputValue()).toBe('stays');
    await expectSound();
  });
});

interface Expected {
  status: number;
  code: string;
  cause: string;
}

/** What the page says of a failure. */
const readProblem = async (response: Response | null): Promise<Record<string, unknown>> => {
  await expectSound();
  const advice = page.locator('section', { hasText: 'What is likely wrong' }).locator('p');
  const problem = page.locator('section', { hasText: 'The problem' });
  return {
    status: response?.status(),
    code: await problem.locator('code').first().textContent(),
    cause: await advice.first().textContent(),
    remedy: await advice.nth(1).textContent(),
  };
};

const openProblem = async (url: string): Promise<Record<string, unknown>> =>
  readProblem(await page.goto(url));

const asExpected = ({ cause, ...rest }: Expected): object => ({
  ...rest,
  cause: expect.stringContaining(cause),
  remedy: expect.stringMatching(/.{30}/),
});

const main = fileURLToPath(new URL('../../services/caller-api/src/main.ts', import.meta.url));
const startCaller = (settings: Record<string, string>) =>
  startService({
    name: 'caller-api',
    main,
    env: {
      PORT: '0',
      ACCESS_MODE: 'anonymous',
      AZURE_AUTHORITY_HOST: system.entraOrigin,
      AZURE_TENANT_ID: localTenantId,
      AZURE_CLIENT_ID: localApplications.api3,
      AZURE_CLIENT_SECRET_FILE: join(system.secretsFolder, 'api3'),
      CA_FILE: system.caFile,
      RECORDS_API_URL: system.recordsApiUrl,
      RECORDS_API_SCOPE: recordsApiScope,
      ...settings,
    },
  });

describe('a failure of records-api', () => {
  test.each([
    ['without token', { status: 502, code: 'downstream_refused', cause: 'does not take the token' }],
    ['silent', { status: 504, code: 'downstream_timeout', cause: 'took longer' }],
    ['cut', { status: 502, code: 'downstream_unreachable', cause: 'connection broke' }],
    [500, { status: 502, code: 'downstream_failed', cause: 'failed at the request' }],
    [503, { status: 503, code: 'downstream_unavailable', cause: 'takes no requests now' }],
    [429, { status: 503, code: 'downstream_unavailable', cause: 'made more requests than' }],
    ['other page', { status: 502, code: 'downstream_invalid', cause: 'that is not it' }],
  ] as [Weather, Expected][])('%s', async (now, expected) => {
    // So that failures in a row are too few to open the circuit.
    await page.goto('/caller/records');
    weather = now;
    expect(await openProblem('/caller/records')).toEqual(asExpected(expected));
  });

  test('at a write that the application is not granted', async () => {
    await page.goto('/caller/records/new');
    weather = 'read only';
    await page.getByLabel('Name').fill('Not granted');
    await page.getByLabel('Date').fill('2026-05-06T07:08');
    const [response] = await Promise.all([
      page.waitForResponse((answer) => answer.request().method() === 'POST'),
      page.getByRole('button', { name: 'Add the record' }).click(),
    ]);
    await page.getByRole('alert').waitFor();
    expect(await readProblem(response)).toEqual(
      asExpected({ status: 502, code: 'downstream_refused', cause: 'nobody granted it the app role' }),
    );
  });

  test('so often in a row that it is left alone', async () => {
    const caller = await startCaller({
      AZURE_CLIENT_ID: localApplications.api2,
      AZURE_CLIENT_SECRET_FILE: join(system.secretsFolder, 'api2'),
      RECORDS_API_URL: 'http://127.0.0.1:9',
    });
    try {
      const url = `http://127.0.0.1:${caller.port}/caller/records`;
      let response = await page.goto(url);
      while (response?.status() === 502) response = await page.goto(url);
      expect(response?.headers()['retry-after']).toBe('5');
      expect(await readProblem(response)).toEqual(
        asExpected({ status: 503, code: 'downstream_unavailable', cause: 'left alone for some seconds' }),
      );
    } finally {
      await caller.stop();
    }
  });

  test('a record that is not there', async () => {
    const response = await page.goto('/caller/records/4711');
    expect(response?.status()).toBe(404);
    expect(await page.getByRole('alert').textContent()).toBe('There is no such record.');
    await expectSound();
    await page.getByRole('link', { name: 'To the records' }).click();
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('Records');
  });
});

describe('no token', () => {
  test.each([
    [
      'a wrong secret',
      { AZURE_CLIENT_ID: localApplications.api2 },
      { status: 503, code: 'identity_unavailable', cause: 'AADSTS7000215' },
    ],
    [
      'Entra cannot be reached',
      { AZURE_AUTHORITY_HOST: 'https://127.0.0.1:9' },
      { status: 503, code: 'identity_unavailable', cause: 'could not be reached' },
    ],
    [
      'no app role granted',
      {},
      { status: 502, code: 'downstream_refused', cause: 'nobody granted it the app role' },
    ],
  ] as [string, Record<string, string>, Expected][])('%s', async (_, settings, expected) => {
    const caller = await startCaller(settings);
    try {
      const problem = await openProblem(`http://127.0.0.1:${caller.port}/caller/records`);
      expect(problem).toEqual(asExpected(expected));
    } finally {
      await caller.stop();
    }
  });
});

test('a form on a page of another site writes nothing', async () => {
  const before = (await (
    await system.fetch(`${system.gatewayUrl}/caller/records?limit=100`)
  ).json()) as unknown[];
  await page.route('http://elsewhere.example/', (route) =>
    route.fulfill({
      contentType: 'text/html',
      body: `<form method="post" action="${system.gatewayUrl}/caller/records"><input name="name" value="x"><input name="date" value="2026-01-01T00:00"><button>Win</button></form>`,
    }),
  );
  await page.goto('http://elsewhere.example/');
  await page.getByRole('button', { name: 'Win' }).click();
  expect(await page.getByRole('alert').textContent()).toBe('Writes from pages of other sites are refused.');
  await expectSound();
  const after = (await (
    await system.fetch(`${system.gatewayUrl}/caller/records?limit=100`)
  ).json()) as unknown[];
  expect(after).toHaveLength(before.length);
});
