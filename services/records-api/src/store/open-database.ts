import { readFile } from 'node:fs/promises';
import { ConfigError, type Logger } from '@countersign/service-kit';
import { azureApplication, createEntraNetwork, createTokenSource } from '@countersign/shared-auth';
import type { DatabaseConfig } from '../config.ts';
import { openPostgres } from './postgres.ts';
import type { RecordDatabase } from './record-database.ts';
import { openSqlite } from './sqlite.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The database that the configuration names.
 *
 * @param env where the application that takes tokens for the database is described, as `azureApplication` reads it.
 * @throws {ConfigError} when it cannot be used.
 */
export const openDatabase = (config: DatabaseConfig, env: Environment, logger: Logger): RecordDatabase => {
  const { DATA_FOLDER: folder, DATABASE_URL: address } = config;
  if (address) {
    return openPostgres({
      ...address,
      password: databasePassword(config, env),
      tls: config.DATABASE_TLS,
      ...(config.DATABASE_CA_FILE && { ca: config.DATABASE_CA_FILE }),
      poolSize: config.DATABASE_POOL_SIZE,
      statementTimeoutMs: config.DATABASE_STATEMENT_TIMEOUT_MS,
      onConnectionError: (error) => logger.warn({ err: error }, 'a connection to the database ended'),
    });
  }
  try {
    return openSqlite(folder as string);
  } catch (error) {
    throw new ConfigError([`DATA_FOLDER ${folder} cannot hold the records: ${(error as Error).message}`]);
  }
};

const databasePassword = (config: DatabaseConfig, env: Environment): (() => Promise<string>) => {
  const { DATABASE_PASSWORD_FILE: file, DATABASE_TOKEN_SCOPE: scope, CA_FILE: ca } = config;
  if (scope === undefined) return async () => (await readFile(file as string, 'utf8')).trim();
  const tokens = createTokenSource({
    ...describedApplication(env),
    network: createEntraNetwork(ca === undefined ? {} : { ca }),
  });
  return async () => (await tokens.getToken({ scope })).accessToken;
};

const describedApplication = (env: Environment): ReturnType<typeof azureApplication> => {
  try {
    return azureApplication(env);
  } catch (error) {
    throw new ConfigError([`DATABASE_TOKEN_SCOPE needs an application: ${(error as Error).message}`]);
  }
};

/**
 * Work without which the service cannot start.
 *
 * @throws {ConfigError} where the database cannot be reached.
 */
export const reach = async <Result>(
  database: RecordDatabase,
  work: () => Promise<Result>,
): Promise<Result> => {
  try {
    return await work();
  } catch (error) {
    if (!database.isUnavailable(error)) throw error;
    const { message, code } = error as NodeJS.ErrnoException;
    throw new ConfigError([
      `the database cannot be used (${message || code}): check DATABASE_URL and what goes with it`,
    ]);
  }
};
