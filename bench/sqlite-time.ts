/**
 * Preloaded into records-api, this answers each message of its parent with the processor time spent within SQLite so far, in
 * seconds. Not in what an import puts aside first: that is done for its clients' sake.
 */
import { DatabaseSync, StatementSync } from 'node:sqlite';

let spentMicroseconds = 0;

type Methods = Record<string, (...parameters: unknown[]) => unknown>;

const staging = /^INSERT INTO lines /;

const now = (): number => {
  const { user, system } = process.threadCpuUsage();
  return user + system;
};

const watch = (prototype: object, names: readonly string[]): void => {
  const methods = prototype as Methods;
  for (const name of names) {
    const method = methods[name] as Methods[string];
    methods[name] = function watched(...parameters) {
      if (this instanceof StatementSync && staging.test(this.sourceSQL))
        return method.apply(this, parameters);
      const start = now();
      try {
        return method.apply(this, parameters);
      } finally {
        spentMicroseconds += now() - start;
      }
    };
  }
};

watch(DatabaseSync.prototype, ['exec', 'prepare', 'close']);
watch(StatementSync.prototype, ['run', 'all', 'get']);
process.on('message', () => process.send?.({ sqliteSeconds: spentMicroseconds / 1e6 }));
