import type { z } from 'zod';
import { badRequest } from './graph-error.ts';

/** Instructions to Graph and the properties that it alone sets: allowed in a body, and left alone. */
const isAnnotation = (name: string): boolean => name.includes('@odata.');

const withoutAnnotations = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutAnnotations);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([name]) => !isAnnotation(name));
  return Object.fromEntries(members.map(([name, member]) => [name, withoutAnnotations(member)]));
};

/** A body, split into what local-entra acts on and what it only keeps. */
export interface ParsedBody<Known> {
  known: Known;
  /** Properties of Graph's that have no effect here; they are kept and shown again. */
  kept: Record<string, unknown>;
}

/**
 * @param keptNames properties that Graph has and local-entra only keeps.
 * @throws {GraphError} 400 that names a property that is wrong or that Graph does not have.
 */
export const parseBody = <Schema extends z.ZodObject>(
  schema: Schema,
  body: unknown,
  keptNames: ReadonlySet<string> = new Set(),
): ParsedBody<z.output<Schema>> => {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badRequest('Unable to read JSON request payload. The payload must be a JSON object.');
  }
  const kept: Record<string, unknown> = {};
  const known: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(body)) {
    if (Object.hasOwn(schema.shape, name)) known[name] = withoutAnnotations(value);
    else if (keptNames.has(name)) kept[name] = value;
    else if (!isAnnotation(name)) throw badRequest(`Invalid property '${name.slice(0, 100)}'.`);
  }
  const result = schema.safeParse(known);
  if (result.success) return { known: result.data, kept };
  const [issue] = result.error.issues;
  const target = issue?.path.join('.') ?? '';
  if (issue?.code === 'unrecognized_keys') {
    const names = [...issue.path, issue.keys[0] ?? ''].join('.');
    throw badRequest(`Invalid property '${names.slice(0, 100)}'.`);
  }
  throw badRequest(`Invalid value specified for property '${target}' of resource: ${issue?.message}`, [
    { code: 'InvalidValue', target, message: issue?.message },
  ]);
};
