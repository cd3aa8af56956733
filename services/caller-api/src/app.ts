import {
  accessLog,
  createKoa,
  health,
  type Logger,
  problemDetails,
  type ProblemRenderer,
  type Readiness,
  renderProblemJson,
  requestContext,
  type ServiceState,
} from '@countersign/service-kit';
import type Koa from 'koa';
import { sendProblemPage } from './page.ts';
import type { FetchRecords } from './records-client.ts';
import { recordsRouter } from './records-router.ts';

export interface AppDependencies {
  logger: Logger;
  readiness: Readiness;
  fetchRecords: FetchRecords;
  /** Rejects when the client credential cannot be read. */
  checkCredential: () => Promise<void>;
}

const renderProblem: ProblemRenderer = (ctx, problem) => {
  ctx.vary('Accept');
  const render = ctx.accepts('json', 'html') === 'html' ? sendProblemPage : renderProblemJson;
  render(ctx, problem);
};

/** The stack of caller-api, in request order. */
export const createApp = ({
  logger,
  readiness,
  fetchRecords,
  checkCredential,
}: AppDependencies): Koa<ServiceState> => {
  const records = recordsRouter(fetchRecords);
  const app = createKoa(logger);
  app.use(health(readiness, { credential: checkCredential }, logger));
  app.use(requestContext(logger));
  app.use(accessLog);
  app.use(problemDetails(renderProblem));
  app.use(records.routes());
  app.use(records.allowedMethods());
  return app;
};
