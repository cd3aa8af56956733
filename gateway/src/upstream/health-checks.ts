import type { UpstreamSettings } from '../routes/route-schema.ts';
import type { Endpoint } from './endpoint.ts';

type HealthCheck = NonNullable<UpstreamSettings['healthCheck']>;

/**
 * Asks every address at an interval, over its own transport. An address that twice in a row does not answer
 * with 2xx in time is left out until it does: one lost packet must not halve an upstream of two.
 *
 * @returns stops asking.
 */
export const startHealthChecks = (
  check: HealthCheck | undefined,
  endpoints: () => readonly Endpoint[],
): (() => void) => {
  if (!check) return () => undefined;
  const asking = new Set<Endpoint>();
  const failedLast = new WeakSet<Endpoint>();
  const ask = (endpoint: Endpoint): void => {
    if (asking.has(endpoint)) return;
    asking.add(endpoint);
    const done = (healthy: boolean): void => {
      if (!asking.delete(endpoint)) return;
      if (healthy || failedLast.has(endpoint)) endpoint.setHealthy(healthy);
      if (healthy) failedLast.delete(endpoint);
      else failedLast.add(endpoint);
    };
    const exchange = endpoint.transport.send(
      { method: 'GET', path: check.path, headers: ['User-Agent', 'countersign-gateway'], body: null },
      {
        onHead(status) {
          done(status >= 200 && status < 300);
          queueMicrotask(() => exchange.abort());
        },
        onData: () => true,
        onEnd: () => undefined,
        onError: () => done(false),
      },
      { connectMs: check.timeoutMs, headMs: check.timeoutMs, idleMs: check.timeoutMs },
    );
  };
  const timer = setInterval(() => {
    for (const endpoint of endpoints()) ask(endpoint);
  }, check.intervalMs);
  timer.unref();
  return () => clearInterval(timer);
};
