import type { Route } from '../routes/route-schema.ts';

type Cors = NonNullable<Route['cors']>;

const allowedOrigin = ({ origins }: Cors, origin: string): string | undefined => {
  if (origins.includes('*')) return '*';
  return origins.includes(origin) ? origin : undefined;
};

/** The headers that let a page of `origin` read an answer (Fetch §3.3). Without them a browser keeps it from the page. */
export const corsHeaders = (cors: Cors, origin: string): string[] => {
  const allowed = allowedOrigin(cors, origin);
  // A cache must not give one origin's answer to another.
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
