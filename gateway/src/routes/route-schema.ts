import { assertPolicy, type Policy } from '@countersign/shared-auth';
import { z } from 'zod';
import { ofThisHop } from '../headers/header-lists.ts';
import { isReserved } from '../headers/request-headers.ts';

const milliseconds = (maximum: number) => z.int().min(1).max(maximum);

/** Whether a header, by its lower-case name, is not the table's to change. */
type IsUntouchable = (name: string) => boolean;

const headerName = (isUntouchable: IsUntouchable) =>
  z
    .string()
    .regex(/^[A-Za-z0-9!#$%&'*+.^`|~-]+$/, 'must be a header name without underscores')
    .transform((name) => name.toLowerCase())
    .refine((name) => !isUntouchable(name), 'is a header that the gateway alone handles');

const headerValue = z.string().regex(/^[\t\u0020-\u007e]*$/, 'must be visible ASCII');

/** A route that could set framing, or what upstreams and clients believe, could undo what the gateway guarantees. */
const headerRules = (isUntouchable: IsUntouchable, settableName = headerName(isUntouchable)) =>
  z
    .strictObject({
      /** Set, whatever the message brought. */
      set: z.record(settableName, headerValue).default({}),
      /** Removed. */
      strip: z.array(headerName(isUntouchable)).default([]),
    })
    .prefault({});

const untouchableInAnswers: IsUntouchable = (name) => ofThisHop.has(name) || name === 'x-request-id';

/** What a route said of CORS by itself would go past its `cors`. */
const settableInAnswers = headerName(untouchableInAnswers).refine(
  (name) => !name.startsWith('access-control-'),
  'is said by cors alone',
);

const policy = z.custom<Policy>().superRefine((value, context) => {
  try {
    assertPolicy(value);
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
  }
});

const access = z.union(
  [
    z.literal('public'),
    z.strictObject({
      /** Whose tokens: an API that the configuration gives a client id. */
      api: z.string().min(1),
      /** Who of them: shared-auth's policies, such as `{ appRole: … }` or `{ byMethod: … }`. */
      policy,
    }),
  ],
  { error: 'must be "public", or an api with a policy' },
);

const timeouts = z
  .strictObject({
    /** To a connection, in milliseconds. */
    connectMs: milliseconds(60_000).default(2_000),
    /** From the request sent to the head of the answer. */
    headMs: milliseconds(600_000).default(30_000),
    /** Between two pieces of a body, either way. */
    idleMs: milliseconds(600_000).default(30_000),
    /** For the whole exchange, from the request's head on; without it, as long as bytes flow. */
    totalMs: milliseconds(86_400_000).optional(),
  })
  .prefault({});

const rateLimit = z.strictObject({
  /** How many requests in a period. */
  requests: z.int().min(1).max(10_000_000),
  /** The period, in seconds. */
  perSeconds: z.int().min(1).max(86_400),
  /** Who is counted: the calling application (its address where a public route has none) or the address. */
  by: z.enum(['application', 'address']).default('application'),
});

/** Compared with what browsers say, who write small letters, no path and no default port (RFC 6454 §6.2). */
const pageOrigin = z.string().superRefine((text, context) => {
  const url = URL.parse(text);
  const sent = url && /^https?:\/\/[\w.:[\]-]+$/.test(url.origin) ? url.origin : undefined;
  if (text === '*' || text === sent) return;
  const message = sent === undefined ? 'must be an origin or *' : `is never sent: browsers say ${sent}`;
  context.addIssue({ code: 'custom', message });
});

/** RFC 9110 §5.6.2. Anything else would make an answer that Node does not write. */
const tokens = z.array(z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/, 'must be a header name'));

const cors = z.strictObject({
  /** Exact origins, or `*` alone for a route without credentials. */
  origins: z.array(pageOrigin).min(1),
  /** Request headers that a page may send on top of the simple ones. */
  headers: tokens.default(['authorization', 'content-type']),
  /** Response headers that a page may read. */
  expose: tokens.default(['x-request-id', 'retry-after']),
  /** How long a browser may keep the answer, in seconds. */
  maxAgeSeconds: z.int().min(0).max(86_400).default(600),
});

export const routeSchema = z.strictObject({
  /** Prefix, matched by whole segments and in any case; `*` stands for one segment. */
  path: z
    .string()
    .regex(/^(?:\/(?:(?!\.{1,2}(?:\/|$))[\w.~-]+|\*))+$|^\/$/, 'must be a path such as /api/records'),
  /** Methods that the route takes; HEAD goes with GET. Without it, all. */
  methods: z
    .array(z.string().regex(/^[A-Z]+$/, 'must be in capitals'))
    .min(1)
    .optional(),
  upstream: z.string().min(1),
  /** Who may pass. There is no default. */
  access,
  timeouts,
  /**
   * Further attempts, while the upstream's budget lasts: of any request that certainly was not seen, and of idempotent
   * ones that may have been; in either case with no body, or one that was short enough to be kept.
   */
  retries: z.int().min(0).max(5).default(1),
  /** Most bytes of a request body. */
  maxBodyBytes: z
    .int()
    .min(0)
    .max(2 ** 40)
    .default(10 * 2 ** 20),
  rateLimit: rateLimit.optional(),
  requestHeaders: headerRules((name) => ofThisHop.has(name) || isReserved(name)),
  responseHeaders: headerRules(untouchableInAnswers, settableInAnswers),
  /** Puts another prefix in the place of the route's path. */
  rewrite: z
    .string()
    .regex(/^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)*\/?$/, 'must be a path')
    .optional(),
  /** Lets `%2F` pass, for upstreams that read it as a letter of a name. */
  encodedSlashes: z.boolean().default(false),
  /** Lets connections switch to WebSocket. */
  webSocket: z.boolean().default(false),
  cors: cors.optional(),
  /** Compresses text that the upstream sends as it is, for clients that take it. Not for answers that hold a secret next to what a stranger can make them repeat. */
  compress: z.boolean().default(false),
  /** Adds the headers that a page in a browser should come with. */
  page: z.boolean().default(false),
});

/** Whether a text is `http://host:port` or `https://…`, with or without a slash behind, and no more. */
export const isOrigin = (text: string): boolean => {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && text.replace(/\/$/, '') === url.origin;
};

const address = z.string().refine(isOrigin, 'must be an origin such as http://records-api:8081');

export const upstreamSchema = z.strictObject({
  /** Without it the configuration has to say where the upstream is. */
  addresses: z.array(address).min(1).optional(),
  /** Most requests in flight at once, over all addresses. */
  maxInFlight: z.int().min(1).max(100_000).default(512),
  /** Most of them that one application, or one address where nobody has to say who calls, may have. Default: half. */
  maxInFlightPerCaller: z.int().min(1).max(100_000).optional(),
  /** How many more may wait, and how long, before 503. */
  maxQueued: z.int().min(0).max(100_000).default(512),
  maxQueueMs: milliseconds(60_000).default(1_000),
  /** Asks every address by itself. */
  healthCheck: z
    .strictObject({
      path: z.string().regex(/^\/[\w./~-]*$/, 'must be a path'),
      intervalMs: milliseconds(600_000).default(5_000),
      timeoutMs: milliseconds(60_000).default(2_000),
    })
    .optional(),
  /** After so many failures in a row an address is left out, first for `ejectMs`, then longer. */
  failures: z.int().min(1).max(1_000).default(5),
  ejectMs: milliseconds(600_000).default(1_000),
  /** Retries may be this share of requests, and at least a few. */
  retryBudget: z.number().min(0).max(1).default(0.1),
  /** How often host names are resolved anew. */
  resolveMs: milliseconds(3_600_000).default(10_000),
});

export const tableSchema = z.strictObject({
  upstreams: z.record(z.string().regex(/^[\w-]+$/), upstreamSchema).default({}),
  routes: z.array(routeSchema).min(1),
});

export type Route = z.output<typeof routeSchema>;
export type UpstreamSettings = z.output<typeof upstreamSchema>;
