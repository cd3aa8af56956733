/** Completion records as the services write them, for requests that are told by a tree. */
export interface Call {
  service: string;
  method?: string;
  route: string;
  /** Milliseconds after the start of the request, by a clock that is right. */
  at: number;
  ms: number;
  status?: number;
  fields?: Record<string, unknown>;
  calls?: readonly Call[];
}

const startMs = Date.parse('2026-11-22T10:00:00.000Z');
const hex = (number: number, length: number): string => number.toString(16).padStart(length, '0');

/**
 * The lines of one request, in the order in which services log: those that are called before those that call.
 *
 * @param skewMs by service: how far its clock is ahead.
 */
export const linesOf = (
  call: Call,
  trace: number,
  skewMs: Readonly<Record<string, number>> = {},
): string[] => {
  let spans = 0;
  const lines = (each: Call, parent?: string): string[] => {
    const spanId = hex(trace * 100 + (spans += 1), 16);
    const clock = startMs + trace * 1000 + (skewMs[each.service] ?? 0);
    const inner = (each.calls ?? []).flatMap((inside) => lines(inside, spanId));
    const record = {
      level: 'info',
      time: new Date(clock + each.at + each.ms).toISOString(),
      pid: 1,
      'service.name': each.service,
      request_id: `request-${trace}`,
      trace_id: hex(trace, 32),
      span_id: spanId,
      ...(parent !== undefined && { parent_span_id: parent }),
      start: new Date(clock + each.at).toISOString(),
      duration_ms: each.ms,
      'http.request.method': each.method ?? 'GET',
      'http.route': each.route,
      'url.path': each.route,
      'http.response.status_code': each.status ?? 200,
      ...each.fields,
      msg: 'request completed',
    };
    return [...inner, JSON.stringify(record)];
  };
  return lines(call);
};

const azp = 'a9100002-0000-4000-8000-000000000002';
const keys: Call = { service: 'local-entra', route: '/:tenant/discovery/v2.0/keys', at: 71, ms: 2 };
const token: Call = {
  service: 'local-entra',
  method: 'POST',
  route: '/:tenant/oauth2/v2.0/token',
  at: 12,
  ms: 40,
  fields: { azp },
};
const records = (at: number, ms: number, more: Partial<Call> = {}): Call => ({
  service: 'records-api',
  route: '/api/records',
  at,
  ms,
  fields: { azp },
  ...more,
});
const through = (caller: Partial<Call>, ms: number, status = 200, fields = {}): Call => ({
  service: 'gateway',
  route: '/caller',
  at: 0,
  ms,
  status,
  fields: { upstream: 'caller-api', ...fields },
  calls: [{ service: 'caller-api', route: '/caller/records', at: 4, ms: ms - 8, status, ...caller }],
});

export const cold = through(
  {
    fields: { token_from_cache: false, token_duration_ms: 50, records_api_duration_ms: 70 },
    calls: [
      token,
      records(65, 60, {
        fields: {
          azp,
          steps: [
            { name: 'keys', at_ms: 4, duration_ms: 9, outcome: 'fetched' },
            { name: 'verify', at_ms: 13, duration_ms: 1.5, outcome: 'miss' },
            { name: 'sql', at_ms: 15, duration_ms: 40 },
          ],
        },
        calls: [keys],
      }),
    ],
  },
  150,
);
export const warm = through(
  {
    fields: { token_from_cache: true, token_duration_ms: 0, records_api_duration_ms: 4 },
    calls: [records(6, 3)],
  },
  14,
);
export const failedToken = through(
  {
    fields: {
      'error.type': 'identity_unavailable',
      aadsts: 7000215,
      explanation: 'The client secret is wrong.',
    },
    calls: [
      {
        ...token,
        status: 401,
        fields: { 'error.type': 'invalid_client', aadsts: 7000215, detail: 'wrongSecret' },
      },
    ],
  },
  60,
  503,
);
export const retried = through(
  {
    fields: { token_from_cache: true, token_duration_ms: 0, records_api_duration_ms: 240 },
    calls: [
      records(6, 20, { status: 503, fields: { 'error.type': 'service_unavailable' } }),
      records(130, 30, { status: 503, fields: { 'error.type': 'service_unavailable' } }),
      records(230, 12),
    ],
  },
  260,
);
export const fanOut = through(
  { calls: [records(8, 40), records(9, 55), records(9, 80), records(10, 20)] },
  100,
);
export const refused: Call = {
  service: 'gateway',
  route: '/api/records',
  at: 0,
  ms: 9,
  status: 403,
  fields: { upstream: 'records-api', 'error.type': 'insufficient_role' },
  calls: [
    records(3, 4, {
      status: 403,
      fields: {
        azp: 'a9100003-0000-4000-8000-000000000003',
        'error.type': 'insufficient_role',
        reason: 'no roles',
      },
    }),
  ],
};
