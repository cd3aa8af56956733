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
import type { Middleware } from 'koa';
import type { Access } from './access.ts';
import { allowedHosts } from './allowed-hosts.ts';
import { explainFailures, type FailureState } from './failures.ts';
import { noteJourney } from './journey.ts';
import { journeyView } from './pages/journey-panel.ts';
import { sendPage } from './pages/layout.ts';
import { problemPage } from './pages/problem-page.ts';
import type { RecordsClient } from './records-client.ts';
import { recordsRouter } from './records-router.ts';
import { sameOriginWrites } from './same-origin.ts';

export interface AppDependencies {
  logger: Logger;
  readiness: Readiness;
  records: RecordsClient;
  access: Access;
  /** Names, beside the loopback ones, that this service may be called by; by any without it. */
  hosts?: readonly string[] | undefined;
  /** Rejects when the client credential cannot be read. */
  checkCredential: () => Promise<void>;
  /** See each request that is logged. */
  observers?: readonly Middleware<ServiceState>[];
}

const renderProblem: ProblemRenderer = (ctx, problem) => {
  ctx.vary('Accept');
  if (ctx.accepts('json', 'html') !== 'html') {
    renderProblemJson(ctx, problem);
    return;
  }
  const { advice, journey } = ctx.state as FailureState;
  sendPage(ctx, problemPage({ problem, advice, journey: journeyView(journey, problem.requestId) }));
};

/** The stack of caller-api, in request order. */
export const createApp = ({
  logger,
  readiness,
  records,
  access,
  hosts,
  checkCredential,
  observers = [],
}: AppDependencies): Koa<ServiceState> => {
  const router = recordsRouter(records, access);
  const app = createKoa(logger);
  app.use(health(readiness, { credential: checkCredential, access: access.ready }, logger));
  app.use(requestContext(logger));
  app.use(accessLog);
  for (const observer of observers) app.use(observer);
  app.use(noteJourney as Middleware<ServiceState>);
  app.use(problemDetails(renderProblem));
  app.use(explainFailures as Middleware<ServiceState>);
  if (hosts) app.use(allowedHosts(hosts));
  app.use(sameOriginWrites);
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
};
