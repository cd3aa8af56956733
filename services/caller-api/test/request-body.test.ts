import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createKoa, createLogger, problemDetails, requestContext } from '@countersign/service-kit';
import { isForm, readForm, readJson } from '../src/request-body.ts';

const logger = createLogger({ name: 'x', version: '0', destination: { write: () => undefined } });
const app = createKoa(logger);
app.use(requestContext(logger));
app.use(problemDetails());
app.use(async (ctx) => {
  ctx.body = isForm(ctx) ? await readForm(ctx) : { value: await readJson(ctx) };
});
const server = createServer(app.callback());

beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterAll(() => {
  server.close();
});

const send = (type: string, body: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    method: 'POST',
    headers: { 'content-type': type, connection: 'close' },
    body: Buffer.from(body, 'latin1'),
  });

test.each([
  ['application/json', '"Gr\xfc\xdfe"'],
  ['application/x-www-form-urlencoded', 'name=Gr\xfc\xdfe'],
  ['application/x-www-form-urlencoded', 'name=Gr%FC%DFe'],
  ['application/x-www-form-urlencoded', 'name=100%'],
])('%s that is no UTF-8 is a 400: %j', async (type, body) => {
  expect((await send(type, body)).status).toBe(400);
});

test('UTF-8 comes as it is', async () => {
  const form = await send('application/x-www-form-urlencoded', 'name=Gr%C3%BC%C3%9Fe+100%25');
  expect(await form.json()).toMatchObject({ draft: { name: 'Grüße 100%' } });
});
