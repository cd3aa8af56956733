import { setTimeout as delay } from 'node:timers/promises';
import {
  type Attributes,
  type HrTime,
  type SpanContext,
  SpanKind,
  type SpanStatus,
  SpanStatusCode,
} from '@opentelemetry/api';
import { ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import {
  detectResources,
  envDetector,
  type Resource,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  RandomIdGenerator,
  type ReadableSpan,
  type SpanExporter,
} from '@opentelemetry/sdk-trace';
import {
  type CompletedRequest,
  completions,
  pathOf,
  routeOf,
  type StartingService,
  starts,
  statusOf,
  stops,
  type StoppingService,
} from './completion.ts';
import type { Logger } from './logger.ts';
import type { Step } from './steps.ts';

/** How long a service that stops waits for the collector. */
const flushMs = 1_000;

/**
 * Exports what the completion records say as spans, with the ids that are in the records: nothing is instrumented. The
 * exporter reads `OTEL_EXPORTER_OTLP_*`; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` add to what the service says
 * of itself. That spans are lost is logged once, until some come through again.
 */
export const exportSpans = (): void => {
  let logger: Logger | undefined;
  const note = noteChanges((error) => {
    if (error) logger?.warn({ err: error }, 'spans are lost');
    else logger?.info('spans come through again');
  });
  const processor = new BatchSpanProcessor({ exporter: observed(new OTLPTraceExporter(), note) });
  let resource: Resource = detectResources({ detectors: [envDetector] });
  starts.subscribe((message) => {
    const { name, version, logger: given } = message as StartingService;
    logger = given;
    const own = {
      'service.name': name,
      'service.version': version,
      'service.instance.id': String(process.pid),
    };
    resource = resourceFromAttributes(own).merge(resource);
  });
  completions.subscribe((message) => {
    for (const span of spansOf(message as CompletedRequest, resource)) processor.onEnd(span);
  });
  stops.subscribe((message) => {
    const inTime = new AbortController();
    const late = delay(flushMs, undefined, { signal: inTime.signal }).then(
      () => note(new Error('the collector did not take them in time')),
      () => undefined,
    );
    const flushed = processor
      .shutdown()
      .catch(note)
      .finally(() => inTime.abort());
    (message as StoppingService).waitFor(Promise.race([flushed, late]));
  });
};

type NoteOutcome = (error: Error | undefined) => void;

/** Tells of the first failure, and of the first success after that. */
const noteChanges = (tell: NoteOutcome): NoteOutcome => {
  let failing = false;
  return (error) => {
    const changed = failing !== (error !== undefined);
    failing = error !== undefined;
    if (changed) tell(error);
  };
};

/** Without it, failures would go to OpenTelemetry's own log, which nobody reads. */
const observed = (exporter: SpanExporter, note: NoteOutcome): SpanExporter => ({
  export: (spans, done) =>
    exporter.export(spans, (result) => {
      note(
        result.code === ExportResultCode.SUCCESS ? undefined : (result.error ?? new Error('no reason given')),
      );
      done(result);
    }),
  shutdown: () => exporter.shutdown(),
});

const ids = new RandomIdGenerator();

/** The span of a request, and one for each of its steps. */
const spansOf = ({ ctx, ms }: CompletedRequest, resource: Resource): ReadableSpan[] => {
  const { req, state } = ctx;
  const { traceId, spanId, parentSpanId, traceFlags, requestId } = state.requestContext;
  const { steps, 'error.type': errorType } = state.logFields;
  const [method = '', route, status] = [req.method, routeOf(ctx), statusOf(ctx)];
  const startMs = Date.now() - ms;
  const own: SpanContext = { traceId, spanId, traceFlags: Number.parseInt(traceFlags, 16) };
  const request = spanFrom({
    name: route === undefined ? method : `${method} ${route}`,
    kind: SpanKind.SERVER,
    context: own,
    parent: parentSpanId === undefined ? undefined : { ...own, spanId: parentSpanId, isRemote: true },
    startMs,
    durationMs: ms,
    isError: status === undefined || status >= 500,
    attributes: {
      ...attributesIn(state.logFields),
      request_id: requestId,
      'http.request.method': method,
      'http.route': route,
      'url.path': pathOf(ctx),
      'http.response.status_code': status,
      'error.type': typeof errorType === 'string' ? errorType : undefined,
    },
    resource,
  });
  const parts = Array.isArray(steps) ? (steps as Step[]) : [];
  return [
    request,
    ...parts.map(({ name, at_ms: atMs, duration_ms: durationMs, outcome }) =>
      spanFrom({
        name,
        kind: SpanKind.INTERNAL,
        context: { ...own, spanId: ids.generateSpanId() },
        parent: own,
        startMs: startMs + atMs,
        durationMs,
        isError: false,
        attributes: { outcome },
        resource,
      }),
    ),
  ];
};

/** What the log says by a single value. */
const attributesIn = (fields: Readonly<Record<string, unknown>>): Attributes =>
  Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, string | number | boolean] =>
      ['string', 'number', 'boolean'].includes(typeof entry[1]),
    ),
  );

interface SpanParts {
  name: string;
  kind: SpanKind;
  context: SpanContext;
  parent: SpanContext | undefined;
  /** Milliseconds since 1970. */
  startMs: number;
  durationMs: number;
  isError: boolean;
  attributes: Attributes;
  resource: Resource;
}

const spanFrom = ({ context, parent, startMs, durationMs, isError, ...parts }: SpanParts): ReadableSpan => ({
  ...parts,
  spanContext: () => context,
  ...(parent && { parentSpanContext: parent }),
  startTime: timeOf(startMs),
  endTime: timeOf(startMs + durationMs),
  duration: timeOf(durationMs),
  status: isError ? failed : { code: SpanStatusCode.UNSET },
  ended: true,
  events: [],
  links: [],
  instrumentationScope: { name: '@countersign/service-kit' },
  droppedAttributesCount: 0,
  droppedEventsCount: 0,
  droppedLinksCount: 0,
});

const failed: SpanStatus = { code: SpanStatusCode.ERROR };

/** Seconds and nanoseconds. */
const timeOf = (ms: number): HrTime => {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1_000_000)];
};
