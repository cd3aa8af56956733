import type { ServicePrincipal, Tenant } from '../directory/entities.ts';
import { notFound } from './graph-error.ts';
import type { GraphKey } from './graph-path.ts';

/** A request to Graph, authenticated and parsed. */
export interface GraphRequest {
  tenant: Tenant;
  /** The application that calls. */
  caller: ServicePrincipal;
  /** Its permissions, from its token. */
  permissions: ReadonlySet<string>;
  keys: readonly GraphKey[];
  query: Readonly<Record<string, string | string[] | undefined>>;
  /** JSON; undefined without a body. */
  body: unknown;
  /** `Prefer: create-if-missing` */
  createIfMissing: boolean;
  /** Address of the request without its query. */
  url: string;
  /** Where Graph's metadata would be; answers name it in `@odata.context`. */
  contextUrl: string;
}

export interface GraphAnswer {
  status: number;
  body?: object;
}

/** @throws {GraphError} for a path without the key; the table of operations asks only for those it has. */
export const keyAt = (request: GraphRequest, index: number): GraphKey => {
  const key = request.keys[index];
  if (!key) throw notFound('');
  return key;
};
