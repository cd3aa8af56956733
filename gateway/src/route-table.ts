import { readFileSync } from 'node:fs';
import { ConfigError } from '@countersign/service-kit';
import { parse } from 'yaml';
import { z } from 'zod';

const routeSchema = z.strictObject({
  /** Path prefix, matched by whole segments and in any case. */
  path: z.string().regex(/^(\/[\w.~-]+)+$/, 'must be a path such as /api/records'),
  /** A name that the configuration locates. */
  upstream: z.string().min(1),
});

const tableSchema = z.strictObject({ routes: z.array(routeSchema).min(1) });

export type Route = z.output<typeof routeSchema>;

/** Finds the route of a path, undefined where there is none. */
export type RouteTable = (path: string) => Route | undefined;

/**
 * Reads a route table.
 *
 * @param upstreams the names that routes may use.
 * @throws {ConfigError} that names the file and every wrong entry.
 */
export const readRouteTable = (file: string, upstreams: ReadonlySet<string>): RouteTable => {
  const { routes } = parseTable(file);
  const paths = routes.map(({ path }) => path.toLowerCase());
  const problems = routes.flatMap(({ path, upstream }, index) => [
    ...(paths.indexOf(path.toLowerCase()) === index ? [] : [`routes[${index}] repeats the path ${path}`]),
    ...(upstreams.has(upstream)
      ? []
      : [`routes[${index}] uses "${upstream}", which UPSTREAMS does not locate`]),
  ]);
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => `${file}: ${problem}`));

  const longestFirst = routes.toSorted((a, b) => b.path.length - a.path.length);
  const prefixes = longestFirst.map((route) => ({ route, prefix: route.path.toLowerCase() }));
  return (path) => {
    const wanted = path.toLowerCase();
    return prefixes.find(({ prefix }) => wanted === prefix || wanted.startsWith(`${prefix}/`))?.route;
  };
};

const parseTable = (file: string): z.output<typeof tableSchema> => {
  let document: unknown;
  try {
    document = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new ConfigError([`ROUTES_FILE ${file} cannot be read: ${(error as Error).message.trim()}`]);
  }
  const result = tableSchema.safeParse(document);
  if (result.success) return result.data;
  throw new ConfigError(
    result.error.issues.map(({ path, message }) => `${file}: ${path.join('.') || 'the file'}: ${message}`),
  );
};
