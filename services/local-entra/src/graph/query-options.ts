import { badRequest, GraphError, unsupportedQuery } from './graph-error.ts';

/** An object as Graph shows it. */
export type GraphObject = Readonly<Record<string, unknown>>;

export interface GraphCollection {
  '@odata.count'?: number;
  '@odata.nextLink'?: string;
  value: GraphObject[];
}

type Query = Readonly<Record<string, string | string[] | undefined>>;
type Predicate = (object: GraphObject) => boolean;

const supported: ReadonlySet<string> = new Set(['$filter', '$select', '$top', '$skiptoken', '$count']);
const defaultPage = 100;
const maxPage = 999;

const single = (query: Query, name: string): string | undefined => {
  const value = query[name];
  if (Array.isArray(value)) throw unsupportedQuery(`Query option '${name}' was specified more than once.`);
  return value;
};

/** The properties that a kind of object has, those of its parts as `api/requestedAccessTokenVersion`. */
export type GraphProperties = ReadonlySet<string>;

const valueAt = (object: GraphObject, path: string): unknown =>
  path.split('/').reduce<unknown>((value, name) => {
    const isThere = typeof value === 'object' && value !== null && Object.hasOwn(value, name);
    return isThere ? (value as GraphObject)[name] : undefined;
  }, object);

const checkProperty = (properties: GraphProperties, name: string): void => {
  if (!properties.has(name)) throw badRequest(`Could not find a property named '${name.slice(0, 100)}'.`);
};

/** What OData gives a meaning, with or without `$` before it. */
const systemOptions: ReadonlySet<string> = new Set(
  'filter select top skiptoken count expand orderby search skip format apply compute deltatoken'.split(' '),
);

/** Query options in one spelling: Graph takes them in any case, and with or without `$`. */
export const normaliseQuery = (query: Query): Query => {
  const normalised = new Map<string, string | string[]>();
  for (const [given, value] of Object.entries(query)) {
    if (value === undefined) continue;
    const bare = given.toLowerCase().replace(/^\$/, '');
    const name = systemOptions.has(bare) ? `$${bare}` : given;
    const before = normalised.get(name);
    normalised.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(normalised);
};

const literal = (text: string): string | boolean | null => {
  if (text === 'true' || text === 'false') return text === 'true';
  return text === 'null' ? null : text.replace(/^'(.*)'$/s, '$1').replaceAll("''", "'");
};

const quoted = String.raw`'(?:[^']|'')*'`;
const equal = new RegExp(`^([\\w/]+) eq (${quoted}|[\\w-]+)$`);
const startsWith = new RegExp(`^startswith\\(([\\w/]+), ?(${quoted})\\)$`, 'i');
const any = new RegExp(`^([\\w/]+)/any\\((\\w+): ?\\2 eq (${quoted})\\)$`);

// String comparison of the directory ignores case.
const same = (left: unknown, right: unknown): boolean =>
  typeof left === 'string' && typeof right === 'string'
    ? left.toLowerCase() === right.toLowerCase()
    : (left ?? null) === right;

const parseClause = (clause: string, properties: GraphProperties): Predicate => {
  const [, equalPath, equalTo] = equal.exec(clause) ?? [];
  if (equalPath !== undefined && equalTo !== undefined) {
    checkProperty(properties, equalPath);
    const wanted = literal(equalTo);
    return (object) => same(valueAt(object, equalPath), wanted);
  }
  const [, startPath, start] = startsWith.exec(clause) ?? [];
  if (startPath !== undefined && start !== undefined) {
    checkProperty(properties, startPath);
    const wanted = String(literal(start)).toLowerCase();
    return (object) => {
      const value = valueAt(object, startPath);
      return typeof value === 'string' && value.toLowerCase().startsWith(wanted);
    };
  }
  const [, anyPath, , item] = any.exec(clause) ?? [];
  if (anyPath !== undefined && item !== undefined) {
    checkProperty(properties, anyPath);
    const wanted = literal(item);
    return (object) => {
      const value = valueAt(object, anyPath);
      return Array.isArray(value) && value.some((element) => same(element, wanted));
    };
  }
  throw unsupportedQuery(
    `Invalid or unsupported filter clause: '${clause.slice(0, 200)}'. Supported: eq, startswith, any with eq, and.`,
  );
};

const parseFilter = (filter: string, properties: GraphProperties): Predicate => {
  const clauses = filter.match(new RegExp(`(?:${quoted}|(?! and )[^])+`, 'g')) ?? [];
  if (clauses.length === 0) throw unsupportedQuery('The filter is empty.');
  const predicates = clauses.map((clause) => parseClause(clause.replace(/^and /, '').trim(), properties));
  return (object) => predicates.every((predicate) => predicate(object));
};

const checkNames = (query: Query): void => {
  for (const name of Object.keys(query)) {
    if (name.startsWith('$') && !supported.has(name)) {
      throw new GraphError(
        501,
        'NotImplemented',
        `local-entra does not support the query option '${name}'. Supported: ${[...supported].join(', ')}.`,
      );
    }
  }
};

const pageSize = (query: Query): number => {
  const text = single(query, '$top');
  if (text === undefined) return defaultPage;
  const size = Number(text);
  if (!Number.isInteger(size) || size < 1 || size > maxPage) {
    throw unsupportedQuery(
      `Invalid page size specified: '${text.slice(0, 20)}'. Must be between 1 and ${maxPage} inclusive.`,
    );
  }
  return size;
};

const offset = (query: Query): number => {
  const token = single(query, '$skiptoken');
  if (token === undefined) return 0;
  const text = Buffer.from(token, 'base64url').toString('latin1');
  if (!/^\d{1,9}$/.test(text)) throw unsupportedQuery('Invalid $skiptoken.');
  return Number(text);
};

/** What `$select` names. @throws {GraphError} 400 for a property that there is not. */
export const selected = (query: Query, properties: GraphProperties): readonly string[] | undefined => {
  checkNames(query);
  const names = single(query, '$select')
    ?.split(',')
    .map((name) => name.trim());
  for (const name of names ?? []) checkProperty(properties, name);
  return names;
};

/** The properties that `$select` names, or all. */
export const select = (object: GraphObject, query: Query, properties: GraphProperties): GraphObject => {
  const names = selected(query, properties);
  if (!names) return object;
  return Object.fromEntries(Object.entries(object).filter(([name]) => names.includes(name)));
};

/**
 * One page of a list: `$filter` (eq, startswith, any, and), `$select`, `$top`, `$skiptoken`, `$count`.
 *
 * @param request its query, and the list's address without it, for the link to the next page.
 * @throws {GraphError} for what is not supported.
 */
export const listPage = (
  objects: readonly GraphObject[],
  { query, url }: { query: Query; url: string },
  properties: GraphProperties,
): GraphCollection => {
  selected(query, properties);
  const filter = single(query, '$filter');
  const matching = filter === undefined ? objects : objects.filter(parseFilter(filter, properties));
  const [start, size] = [offset(query), pageSize(query)];
  const rest = Object.entries(query).filter(([name]) => name !== '$skiptoken') as [string, string][];
  const next = new URLSearchParams([
    ...rest,
    ['$skiptoken', Buffer.from(String(start + size), 'latin1').toString('base64url')],
  ]);
  return {
    ...(single(query, '$count') === 'true' && { '@odata.count': matching.length }),
    ...(start + size < matching.length && { '@odata.nextLink': `${url}?${next.toString()}` }),
    value: matching.slice(start, start + size).map((object) => select(object, query, properties)),
  };
};
