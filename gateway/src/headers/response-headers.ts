import {
  type FlatHeaders,
  KindsByName,
  namedByConnection,
  ofThisHop,
  withoutHeaders,
} from './header-lists.ts';

/** Headers of answers that say what runs behind, or are the gateway's own to say. */
export const answeredByGateway: ReadonlySet<string> = new Set([
  'server', // tells attackers what to look for
  'x-powered-by', // the same
  'x-request-id', // the gateway's is the same, or the upstream did not take it over
]);

/** What the gateway does with a header of an answer. */
type ResponseHeaderKind = 'forwarded' | 'dropped' | 'connection' | 'content-length' | 'date';

const responseHeaderKind = (key: string): ResponseHeaderKind => {
  if (key === 'connection' || key === 'content-length' || key === 'date') return key;
  return ofThisHop.has(key) || answeredByGateway.has(key) ? 'dropped' : 'forwarded';
};

const responseKinds = new KindsByName(responseHeaderKind);

/** The headers of an upstream's answer as the client gets them. */
export interface SortedResponseHeaders {
  headers: string[];
  /** Of the body; -1 when the answer does not say it. */
  contentLength: number;
  hasDate: boolean;
}

/** @param stripped lower-case names of headers that the answer loses on top */
export const sortResponseHeaders = (
  rawHeaders: FlatHeaders,
  stripped: ReadonlySet<string> = noNames,
): SortedResponseHeaders => {
  const sorted: SortedResponseHeaders = { headers: [], contentLength: -1, hasDate: false };
  let named: Set<string> | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    const kind = responseKinds.of(name);
    if (kind === 'connection') named = namedByConnection(value, named);
    else if (kind !== 'dropped') {
      if (stripped.size > 0 && stripped.has(name.toLowerCase())) continue;
      if (kind === 'content-length') sorted.contentLength = Number(value);
      else if (kind === 'date') sorted.hasDate = true;
      sorted.headers.push(name, value);
    }
  }
  if (named !== undefined) sorted.headers = withoutHeaders(sorted.headers, named);
  return sorted;
};

const noNames: ReadonlySet<string> = new Set();
