/**
 * Preloaded (`node --import @countersign/service-kit/tracing`), this exports a span of each request by OTLP where
 * `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set. Otherwise nothing of OpenTelemetry's SDK is
 * loaded.
 */
const {
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: tracesEndpoint,
  OTEL_SDK_DISABLED: disabled,
} = process.env;

if ((endpoint || tracesEndpoint) && disabled !== 'true') {
  const { exportSpans } = await import('./span-export.ts');
  exportSpans();
}
