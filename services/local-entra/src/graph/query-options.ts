import { GraphError, unsupportedQuery } from './graph-error.ts';

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

const valueAt = (object: GraphObject, path: string): unknown =>
  path.split('/').reduce<unknown>((value, name) => (value as GraphObject | null | undefined)?.[name], object);

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

const parseClause = (clause: string): Predicate => {
  const [, equalPath, equalTo] = equal.exec(clause) ?? [];
  if (equalPath !== undefined && equalTo !== undefined) {
    const wanted = literal(equalTo);
    return (object) => same(valueAt(object, equalPath), wanted);
  }
  const [, startPath, start] = startsWith.exec(clause) ?? [];
  if (startPath !== undefined && start !== undefined) {
    const wanted = String(literal(start)).toLowerCase();
    return (object) => {
      const value = valueAt(object, startPath);
      return typeof value === 'string' && value.toLowerCase().startsWith(wanted);
    };
  }
  const [, anyPath, , item] = any.exec(clause) ?? [];
  if (anyPath !== undefined && item !== undefined) {
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

const parseFilter = (filter: string): Predicate => {
  const clauses = filter.match(new RegExp(`(?:${quoted}|(?! and )[^])+`, 'g')) ?? [];
  if (clauses.length === 0) throw unsupportedQuery('The filter is empty.');
  const predicates = clauses.map((clause) => parseClause(clause.replace(/^and /, '').trim()));
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

/** The properties that `$select` names, or all. */
export const select = (object: GraphObject, query: Query): GraphObject => {
  checkNames(query);
  const names = single(query, '$select')
    ?.split(',')
    .map((name) => name.trim());
  if (!names) return object;
  return Object.fromEntries(Object.entries(object).filter(([name]) => names.includes(name)));
};

/**
 * One page of a list: `$filter` (eq, startswith, any, and), `$select`, `$top`, `$skiptoken`, `$count`.
 *
 * @param url of the list, without query, for the link to the next page.
 * @throws {GraphError} for what is not supported.
 */
export const listPage = (objects: readonly GraphObject[], query: Query, url: string): GraphCollection => {
  checkNames(query);
  const filter = single(query, '$filter');
  const matching = filter === undefined ? objects : objects.filter(parseFilter(filter));
  const [start, size] = [offset(query), pageSize(query)];
  const rest = Object.entries(query).filter(([name]) => name !== '$skiptoken') as [string, string][];
  const next = new URLSearchParams([
    ...rest,
    ['$skiptoken', Buffer.from(String(start + size), 'latin1').toString('base64url')],
  ]);
  return {
    ...(single(query, '$count') === 'true' && { '@odata.count': matching.length }),
    ...(start + size < matching.length && { '@odata.nextLink': `${url}?${next.toString()}` }),
    value: matching.slice(start, start + size).map((object) => select(object, query)),
  };
};
