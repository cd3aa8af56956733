import { createLogger, packageIdentity, runService } from '@countersign/service-kit';
import { migrateConfigSchema, parseRecordsConfig } from './config.ts';
import { migrate } from './store/migrations.ts';
import { openDatabase, reach } from './store/open-database.ts';

const service = {
  ...packageIdentity(new URL('../package.json', import.meta.url)),
  name: 'records-migrate',
};

/** Brings the database's schema up to date, and ends. */
await runService(service, async () => {
  const config = parseRecordsConfig(migrateConfigSchema, process.env);
  const logger = createLogger({ ...service, level: config.LOG_LEVEL });
  // An index on a large table takes its time, and so does another migration that is waited for.
  const database = openDatabase({ ...config, DATABASE_STATEMENT_TIMEOUT_MS: 0 }, process.env, logger);
  const migrations = await reach(database, () => migrate(database.writes, database.engine));
  logger.info({ migrations }, migrations.length > 0 ? 'migrated' : 'nothing to migrate');
  await database.close();
});
