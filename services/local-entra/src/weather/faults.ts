import { randomUUID } from 'node:crypto';
import { z } from 'zod';

/** Where a fault strikes. `any` is every address but health. */
export const faultEndpoints = [
  'any',
  'token',
  'discovery',
  'keys',
  'instance',
  'graph',
  'managed-identity',
] as const;
export type FaultEndpoint = (typeof faultEndpoints)[number];

/** What goes wrong. With neither `status` nor `disconnect` the request is only late. */
export const faultSchema = z.strictObject({
  endpoint: z.enum(faultEndpoints),
  /** HTTP status of the answer. */
  status: z.int().min(300).max(599).optional(),
  /** `Retry-After` of the answer, in seconds. */
  retryAfterSeconds: z.int().min(0).max(86_400).optional(),
  /** `entra` answers as the endpoint's own errors look; `html` as a proxy's do. */
  body: z.enum(['entra', 'html', 'empty']).default('entra'),
  /** Wait before anything else, in milliseconds. */
  latencyMs: z.int().min(0).max(600_000).default(0),
  /** Cut the connection instead of answering. */
  disconnect: z.boolean().default(false),
  /** Share of the requests that it strikes, above 0 and up to 1. */
  probability: z.number().gt(0).max(1).default(1),
  /** How many requests it strikes before it is over. Default: no end. */
  count: z.int().min(1).optional(),
});

/** A fault as it is asked for. */
export type FaultInput = z.input<typeof faultSchema>;

export interface Fault extends z.output<typeof faultSchema> {
  id: string;
}

export interface Faults {
  /** @throws {z.ZodError} for a fault that makes no sense. */
  add(fault: FaultInput): Fault;
  list(): readonly Fault[];
  /** Ends one fault, or all of them; says how many there were. */
  clear(id?: string): number;
  /** The fault that strikes a request to this endpoint, if one does. Counts. */
  strike(endpoint: FaultEndpoint): Fault | undefined;
}

/** @param random between 0 and 1, for faults that strike only some requests. */
export const createFaults = (random: () => number = Math.random): Faults => {
  let faults: Fault[] = [];
  return {
    add: (input) => {
      const fault = { id: randomUUID(), ...faultSchema.parse(input) };
      faults.push(fault);
      return fault;
    },
    list: () => faults,
    clear: (id) => {
      const before = faults.length;
      faults = id === undefined ? [] : faults.filter((fault) => fault.id !== id);
      return before - faults.length;
    },
    strike: (endpoint) => {
      const fault = faults.find(
        (candidate) =>
          (candidate.endpoint === endpoint || candidate.endpoint === 'any') &&
          (candidate.probability === 1 || random() < candidate.probability),
      );
      if (fault?.count !== undefined) {
        fault.count -= 1;
        if (fault.count === 0) faults = faults.filter((other) => other !== fault);
      }
      return fault;
    },
  };
};
