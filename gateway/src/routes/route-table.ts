import { readFileSync } from 'node:fs';
import { ConfigError } from '@countersign/service-kit';
import { type Document, parseDocument, visit } from 'yaml';
import type { z } from 'zod';
import { type Route, tableSchema, upstreamSchema, type UpstreamSettings } from './route-schema.ts';

/** An upstream of the table, located. */
export interface LocatedUpstream extends UpstreamSettings {
  name: string;
  addresses: string[];
}

export interface RouteTable {
  routes: readonly Route[];
  upstreams: ReadonlyMap<string, LocatedUpstream>;
  /** The route of a path; the most particular one of those that fit. Undefined where none does. */
  match: (path: string) => Route | undefined;
}

/** What the configuration knows and the table refers to. */
export interface TableSurroundings {
  /** Addresses of upstreams by name; they go before those of the table. */
  locations: ReadonlyMap<string, readonly string[]>;
  /** Names of the APIs whose tokens can be checked. */
  apis: ReadonlySet<string>;
}

/**
 * Reads a route table, and gives the text as well, from which whoever follows the file goes on.
 *
 * @throws {ConfigError} that names the file, and the line or place and reason of everything that is wrong.
 */
export const readRouteTable = (
  file: string,
  surroundings: TableSurroundings,
): { text: string; table: RouteTable } => {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError([`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`]);
  }
  try {
    return { text, table: parseRouteTable(text, surroundings) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(error.problems.map((problem) => `${file}: ${problem}`));
  }
};

/** The same from text. @throws {ConfigError} */
export const parseRouteTable = (text: string, surroundings: TableSurroundings): RouteTable => {
  const document = parseDocument(text, { prettyErrors: true });
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map(({ message }) => message.split('\n', 1)[0]?.replace(/:$/, '') ?? ''),
    );
  }
  const lineOf = (path: readonly PropertyKey[]): string => {
    for (let depth = path.length; depth > 0; depth -= 1) {
      const node = document.getIn(path.slice(0, depth), true) as
        { range?: [number, number, number] } | undefined;
      if (node?.range) return `line ${lineAt(text, node.range[0])}: ${path.join('.')}`;
    }
    return 'the file';
  };
  const result = tableSchema.safeParse(plainValue(document, text));
  if (!result.success) {
    throw new ConfigError(result.error.issues.map((issue) => `${lineOf(issue.path)}: ${reasonOf(issue)}`));
  }
  const { routes } = result.data;
  const upstreams = locate(result.data.upstreams, routes, surroundings.locations);
  const patterns = routes.map(toPattern);
  const problems = routes.flatMap((route, index) => {
    const place = (field: string): string => lineOf(['routes', index, field]);
    const pattern = patterns[index] as Pattern;
    const earlier = patterns.findIndex((other) => isAsParticular(pattern, other));
    return [
      ...(earlier === index
        ? []
        : [`${place('path')}: clashes with routes.${earlier}, which fits the same paths`]),
      ...(upstreams.has(route.upstream)
        ? []
        : [`${place('upstream')}: "${route.upstream}" has no addresses, here or in UPSTREAMS`]),
      ...(route.access === 'public' || surroundings.apis.has(route.access.api)
        ? []
        : [`${place('access')}: no API "${route.access.api}" is configured to check its tokens (APIS)`]),
      ...(route.webSocket && upstreams.get(route.upstream)?.addresses.some(isHttps)
        ? [`${place('webSocket')}: is for upstreams of plain HTTP alone`]
        : []),
      ...(route.cors && route.cors.origins.includes('*') && route.cors.origins.length > 1
        ? [`${place('cors')}: "*" has to stand alone`]
        : []),
    ];
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return { routes, upstreams, match: createMatcher(routes) };
};

const lineAt = (text: string, offset: number): number => text.slice(0, offset).split('\n').length;

/** @throws {ConfigError} for an alias of nothing, and for aliases of aliases that would not fit into memory. */
const plainValue = (document: Document, text: string): unknown => {
  try {
    return document.toJS();
  } catch (error) {
    const unresolved: string[] = [];
    visit(document, {
      Alias(_, node) {
        if (node.resolve(document)) return;
        unresolved.push(
          `line ${lineAt(text, node.range?.[0] ?? 0)}: nothing before it is called &${node.source}`,
        );
      },
    });
    throw new ConfigError(unresolved.length > 0 ? unresolved : [(error as Error).message]);
  }
};

/** Of a key that a record may not have, zod says why one level further down. */
const reasonOf = (issue: z.core.$ZodIssue): string =>
  (issue.code === 'invalid_key' && issue.issues[0]?.message) || issue.message;

const isHttps = (address: string): boolean => address.startsWith('https:');

const locate = (
  settings: Readonly<Record<string, UpstreamSettings>>,
  routes: readonly Route[],
  locations: TableSurroundings['locations'],
): Map<string, LocatedUpstream> => {
  const names = new Set([...Object.keys(settings), ...routes.map(({ upstream }) => upstream)]);
  const located = new Map<string, LocatedUpstream>();
  for (const name of names) {
    const own = settings[name] ?? upstreamSchema.parse({});
    const addresses = locations.get(name) ?? own.addresses;
    if (addresses) located.set(name, { ...own, name, addresses: [...addresses] });
  }
  return located;
};

interface Pattern {
  route: Route;
  segments: readonly string[];
}

const toPattern = (route: Route): Pattern => {
  const path = route.path === '/' ? '' : route.path.toLowerCase();
  return { route, segments: path.split('/').slice(1) };
};

/** Whether there are paths that both fit, and nothing says which of the two is meant. */
const isAsParticular = (one: Pattern, other: Pattern): boolean =>
  one.segments.length === other.segments.length &&
  wildcards(one) === wildcards(other) &&
  one.segments.every(
    (segment, index) => [segment, '*'].includes(other.segments[index] as string) || segment === '*',
  );

/** Prefix matching by whole segments: a name goes before `*`, a longer path before a shorter one. */
const createMatcher = (routes: readonly Route[]): RouteTable['match'] => {
  const patterns = routes
    .map(toPattern)
    .toSorted((a, b) => b.segments.length - a.segments.length || wildcards(a) - wildcards(b));
  return (path) => {
    const wanted = path.toLowerCase().split('/').slice(1);
    return patterns.find(({ segments }) => fits(segments, wanted))?.route;
  };
};

const wildcards = ({ segments }: Pattern): number => segments.filter((segment) => segment === '*').length;

const fits = (segments: readonly string[], wanted: readonly string[]): boolean =>
  segments.length <= wanted.length &&
  segments.every((segment, index) => segment === wanted[index] || (segment === '*' && wanted[index] !== ''));
