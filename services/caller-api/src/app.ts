import {
  accessLog,
  health,
  type Logger,
  problemDetails,
  type ProblemRenderer,
  type Readiness,
  renderProblemJson,
  requestContext,
  type ServiceState,
} from '@countersign/service-kit';
import Koa from 'koa';
import { sendProblemPage } from './page.ts';
import type { FetchRecords } from './records-client.ts';
import { recordsRouter } from './records-router.ts';

export interface AppDependencies {
  logger: Logger;
  readiness: Readiness;
  fetchRecords: FetchRecords;
}

const renderProblem: ProblemRenderer = (ctx, problem) => {
  ctx.vary('Accept');
  const render = ctx.accepts('json', 'html') === 'html' ? sendProblemPage : renderProblemJson;
  render(ctx, problem);
};

/** The stack of caller-api, in request order. */
export const createApp = ({ logger, readiness, fetchRecords }: AppDependencies): Koa<ServiceState> => {
  const records = recordsRouter(fetchRecords);
  const app = new Koa<ServiceState>();
  app.use(health(readiness));
  app.use(requestContext(logger));
  app.use(accessLog);
  app.use(problemDetails(renderProblem));
  app.use(records.routes());
  app.use(records.allowedMethods());
  return app;
};
