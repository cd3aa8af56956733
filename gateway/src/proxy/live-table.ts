import { ConfigError, type Logger } from '@countersign/service-kit';
import { parseRouteTable, readRouteTable, type TableSurroundings } from '../routes/route-table.ts';
import { watchFile } from '../watch-file.ts';
import { activateTable, type ActiveTable, type ActiveTableOptions } from './active-table.ts';

export interface LiveTableOptions extends Omit<ActiveTableOptions, 'table' | 'previous'> {
  file: string;
  surroundings: TableSurroundings;
  logger: Logger;
  /** Called after each reload, also one that failed. */
  onReload?: (outcome: 'ok' | 'refused') => void;
}

export interface LiveTable {
  /** The table in force. */
  current: () => ActiveTable;
  close(): Promise<void>;
}

/**
 * A route table that follows its file. A new table takes effect with the next request; requests in flight end with the
 * one that they began with. Upstreams and rate limits that the change leaves as they were go on. A file that is broken
 * changes nothing and is logged with the reason.
 *
 * @throws {ConfigError} when the file cannot be used at the start.
 */
export const openLiveTable = async (options: LiveTableOptions): Promise<LiveTable> => {
  const { file, surroundings, logger, onReload } = options;
  const { text, table } = readRouteTable(file, surroundings);
  let current = await activateTable({ ...options, table });
  let reloading: Promise<void> = Promise.resolve();
  const retiring = new Set<Promise<void>>();

  const reload = async (changed: string): Promise<void> => {
    try {
      const next = await activateTable({
        ...options,
        table: parseRouteTable(changed, surroundings),
        previous: current,
      });
      const closing: Promise<void> = current.close(next).finally(() => retiring.delete(closing));
      retiring.add(closing);
      current = next;
      logger.info({ file, routes: next.routes.length }, 'the route table was reloaded');
      onReload?.('ok');
    } catch (error) {
      const problems = error instanceof ConfigError ? error.problems : undefined;
      logger.error(
        { file, problems, ...(!problems && { err: error }) },
        'the changed route table is not usable; the old one stays',
      );
      onReload?.('refused');
    }
  };
  const stopWatching = watchFile({
    file,
    text,
    onChange: (changed) => {
      reloading = reloading.then(() => reload(changed));
    },
    onError: (error) =>
      logger.error({ file, err: error }, 'the route table cannot be read; the old one stays'),
  });

  return {
    current: () => current,
    async close() {
      stopWatching();
      await reloading;
      await current.close();
      await Promise.all(retiring);
    },
  };
};
