/** Preloaded into records-api, this answers each message of its parent with the time spent within SQLite so far, in seconds. */
import { DatabaseSync, StatementSync } from 'node:sqlite';

let spentMs = 0;

type Methods = Record<string, (...parameters: unknown[]) => unknown>;

const watch = (prototype: object, names: readonly string[]): void => {
  const methods = prototype as Methods;
  for (const name of names) {
    const method = methods[name] as Methods[string];
    methods[name] = function watched(...parameters) {
      const startMs = performance.now();
      try {
        return method.apply(this, parameters);
      } finally {
        spentMs += performance.now() - startMs;
      }
    };
  }
};

watch(DatabaseSync.prototype, ['exec', 'prepare', 'close']);
watch(StatementSync.prototype, ['run', 'all', 'get']);
process.on('message', () => process.send?.({ sqliteSeconds: spentMs / 1_000 }));
