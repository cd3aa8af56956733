/**
 * Preloaded into records-api, this answers each message of its parent with the processor time spent within SQLite so far, and
 * how much of it on what imports put aside first, in seconds.
 */
import { DatabaseSync, StatementSync } from 'node:sqlite';

let microseconds = 0;
let stagingMicroseconds = 0;

type Methods = Record<string, (...parameters: unknown[]) => unknown>;

const now = (): number => {
  // Brings the kernel's count for this thread up to date, which else moves by milliseconds.
  process.cpuUsage();
  const { user, system } = process.threadCpuUsage();
  return user + system;
};

/** Those of databases that an import puts its lines in. */
const stagingStatements = new WeakSet<object>();
const isStaging = (subject: unknown): boolean =>
  subject instanceof DatabaseSync
    ? subject.isOpen && (subject.location()?.includes('/import-') ?? false)
    : stagingStatements.has(subject as StatementSync);

const watch = (prototype: object, names: readonly string[]): void => {
  const methods = prototype as Methods;
  for (const name of names) {
    const method = methods[name] as Methods[string];
    methods[name] = function watched(...parameters) {
      const staging = isStaging(this);
      const start = now();
      try {
        const result = method.apply(this, parameters);
        if (staging && result instanceof StatementSync) stagingStatements.add(result);
        return result;
      } finally {
        const spent = now() - start;
        microseconds += spent;
        if (staging) stagingMicroseconds += spent;
      }
    };
  }
};

watch(DatabaseSync.prototype, ['exec', 'prepare', 'close']);
watch(StatementSync.prototype, ['run', 'all', 'get']);
process.on('message', () =>
  process.send?.({ sqliteSeconds: microseconds / 1e6, stagingSeconds: stagingMicroseconds / 1e6 }),
);
