import type { Route } from '../routes/route-schema.ts';

type Cors = NonNullable<Route['cors']>;

/** Lower-case names of what a route with CORS says itself: an upstream could open it to origins that it does not name. */
export const corsHeaderNames: readonly string[] = [
  ...['access-control-allow-credentials', 'access-control-allow-headers', 'access-control-allow-methods'],
  ...['access-control-allow-origin', 'access-control-expose-headers', 'access-control-max-age'],
];

const allowedOrigin = ({ origins }: Cors, origin: string): string | undefined => {
  if (origins.includes('*')) return '*';
  return origins.includes(origin) ? origin : undefined;
};

/** The headers that let a page of `origin` read an answer (Fetch §3.3). Without them a browser keeps it from the page. */
export const corsHeaders = (cors: Cors, origin: string | undefined): string[] => {
  const allowed = origin === undefined ? undefined : allowedOrigin(cors, origin);
  // A cache must not give one origin's answer to another, nor that to a request without one.
  if (allowed === undefined) return ['Vary', 'Origin'];
  return [
    ...['Access-Control-Allow-Origin', allowed, 'Vary', 'Origin'],
    ...['Access-Control-Expose-Headers', cors.expose.join(', ')],
  ];
};

/** What a preflight is answered on top of {@link corsHeaders}: what a page of `origin` may send. */
export const preflightHeaders = (cors: Cors, origin: string, methods: readonly string[]): string[] => {
  if (allowedOrigin(cors, origin) === undefined) return [];
  return [
    ...['Access-Control-Allow-Methods', methods.join(', ')],
    ...['Access-Control-Allow-Headers', cors.headers.join(', ')],
    ...['Access-Control-Max-Age', String(cors.maxAgeSeconds)],
  ];
};
