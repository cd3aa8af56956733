import { describe, expect, test } from '@jest/globals';
import { propagationHeaders, readRequestContext } from '@countersign/service-kit';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentSpanId = '00f067aa0ba902b7';

describe('readRequestContext', () => {
  test('goes on with a trace and hands out its own span as the next parent', () => {
    const context = readRequestContext({
      'x-request-id': 'request-0001',
      traceparent: `00-${traceId}-${parentSpanId}-01`,
      tracestate: 'vendor=1',
    });
    expect(context).toMatchObject({ requestId: 'request-0001', traceId, parentSpanId, traceFlags: '01' });
    expect(propagationHeaders(context)).toEqual({
      'x-request-id': 'request-0001',
      traceparent: `00-${traceId}-${context.spanId}-01`,
      tracestate: 'vendor=1',
    });
  });

  test.each([
    ['no header', undefined],
    ['all-zero trace', `00-${'0'.repeat(32)}-${parentSpanId}-01`],
    ['all-zero span', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['upper case', `00-${traceId.toUpperCase()}-${parentSpanId}-01`],
    ['version ff', `ff-${traceId}-${parentSpanId}-01`],
    ['version 00 with a fifth field', `00-${traceId}-${parentSpanId}-01-more`],
    ['garbage', 'garbage'],
  ])('starts a new trace for %s', (_, traceparent) => {
    const context = readRequestContext({ traceparent });
    expect(context.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(context.traceId).not.toBe(traceId);
    expect(context).not.toHaveProperty('parentSpanId');
  });

  test.each([['short'], ['with space in it'], ['x'.repeat(129)], ['new\nline-in-it'], ['{"a":1,"b":2}']])(
    'replaces the request id %j',
    (requestId) => {
      expect(readRequestContext({ 'x-request-id': requestId }).requestId).toMatch(/^[0-9a-f-]{36}$/);
    },
  );
});
