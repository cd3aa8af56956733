import { Router } from '@koa/router';
import {
  accessLog,
  createKoa,
  problemDetails,
  ProblemError,
  requestContext,
  type Logger,
  type ServiceState,
} from '@countersign/service-kit';
import type Koa from 'koa';
import type { ParameterizedContext } from 'koa';
import { z } from 'zod';
import { emulatorHeader } from '../emulator-header.ts';
import type { EntraContext } from '../entra-context.ts';
import { refuseBrowsers, requireLocalHost } from '../local-hosts.ts';
import { maskLog } from '../mask-log.ts';
import { parseJson } from '../parse-json.ts';
import { readBody } from '../read-body.ts';
import type { Controls } from './controls.ts';
import { faultSchema } from './faults.ts';
import { forgeSchema } from './forge.ts';

const maxBodyBytes = 256 * 1024;
const seconds = z.number().min(0).max(86_400);
const rotateSchema = z.strictObject({ mode: z.enum(['graceful', 'emergency']).default('graceful') });
const hideSchema = z.strictObject({ seconds });
const clockSchema = z.strictObject({ shiftSeconds: z.number().min(-315_360_000).max(315_360_000) });
const propagationSchema = z.strictObject({
  secrets: seconds.optional(),
  certificates: seconds.optional(),
  federatedCredentials: seconds.optional(),
  roles: seconds.optional(),
});

const invalid = (detail: string, errors: object[] = []): ProblemError =>
  new ProblemError(detail, { status: 400, code: 'invalid_request', members: { errors } });

const readJson = async <Schema extends z.ZodType>(
  ctx: ParameterizedContext,
  schema: Schema,
): Promise<z.output<Schema>> => {
  const text = await readBody(ctx.req, maxBodyBytes);
  if (text !== '' && !ctx.is('application/json')) throw invalid('The body must be application/json.');
  let value: unknown;
  try {
    value = text === '' ? {} : parseJson(text);
  } catch {
    throw invalid('The body is not JSON, or is nested too deep.');
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = result.error.issues.map(({ path, message }) => ({
    pointer: path.map((part) => `/${String(part)}`).join(''),
    detail: message,
  }));
  throw invalid('The body cannot be used.', errors);
};

const overview = (entra: EntraContext, controls: Controls): object => ({
  faults: controls.faults.list(),
  clockShiftSeconds: controls.clockShiftSeconds(),
  propagationSeconds: controls.propagationSeconds(),
  keys: {
    signs: entra.signingKeys.current().kid,
    published: entra.signingKeys.published().map(({ kid }) => kid),
  },
});

const adminRoutes = (entra: EntraContext, controls: Controls): Router<ServiceState> => {
  const router = new Router<ServiceState>();
  router.get('/', (ctx) => {
    ctx.body = overview(entra, controls);
  });
  router.get('/faults', (ctx) => {
    ctx.body = controls.faults.list();
  });
  router.post('/faults', async (ctx) => {
    ctx.body = controls.faults.add(await readJson(ctx, faultSchema));
    ctx.status = 201;
  });
  router.delete('/faults', (ctx) => {
    controls.faults.clear();
    ctx.status = 204;
  });
  router.delete('/faults/:id', (ctx) => {
    ctx.status = controls.faults.clear(ctx.params['id'] ?? '') === 1 ? 204 : 404;
  });
  router.post('/keys/rotate', async (ctx) => {
    await controls.rotateKeys((await readJson(ctx, rotateSchema)).mode);
    ctx.body = overview(entra, controls);
  });
  router.post('/keys/hide', async (ctx) => {
    await controls.hideKey((await readJson(ctx, hideSchema)).seconds);
    ctx.body = overview(entra, controls);
  });
  router.put('/clock', async (ctx) => {
    controls.shiftClock((await readJson(ctx, clockSchema)).shiftSeconds);
    ctx.body = overview(entra, controls);
  });
  router.put('/propagation', async (ctx) => {
    controls.delayPropagation(await readJson(ctx, propagationSchema));
    ctx.body = overview(entra, controls);
  });
  router.post('/forge', async (ctx) => {
    const request = await readJson(ctx, forgeSchema);
    const token = await controls.forge(request).catch((error: unknown) => {
      throw invalid(error instanceof Error ? error.message : String(error));
    });
    ctx.body = { access_token: token };
  });
  router.get('/requests', (ctx) => {
    ctx.body = ctx.query['refused'] === 'true' ? controls.requests.refusals() : controls.requests.list();
  });
  return router;
};

/** The admin port: weather, keys, clock, forge, and the log of the last requests. Plain HTTP, for loopback. */
export const createAdminApp = (
  entra: EntraContext,
  controls: Controls,
  logger: Logger,
  allowedHosts: readonly string[],
): Koa<ServiceState> => {
  const app = createKoa(logger);
  app.use(requestContext(logger));
  app.use(emulatorHeader);
  app.use(maskLog);
  app.use(accessLog);
  app.use(problemDetails());
  app.use(requireLocalHost(allowedHosts));
  app.use(refuseBrowsers);
  app.use(adminRoutes(entra, controls).routes());
  return app;
};
