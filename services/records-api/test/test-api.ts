import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@countersign/service-kit';
import { createTokenVerifier } from '@countersign/shared-auth';
import {
  apiClientId,
  createStaticIssuer,
  mint,
  tenantId,
} from '../../../packages/shared-auth/test/test-issuer.ts';
import { createApp } from '../src/app.ts';
import { createRecordStore } from '../src/store/create-record-store.ts';
import { migrate } from '../src/store/migrations.ts';
import type { RecordDatabase } from '../src/store/record-database.ts';
import { openSqlite } from '../src/store/sqlite.ts';
import type { ImportPace } from '../src/transfers.ts';

export interface TestApi {
  url: string;
  database: RecordDatabase;
  /** Sends a request, as an application with both roles unless it says otherwise. A body that is no text is sent as JSON. */
  call: (method: string, path: string, options?: CallOptions) => Promise<Response>;
  token: (claims?: Record<string, unknown>) => string;
  /** What the service has logged. */
  log: string[];
  [Symbol.asyncDispose]: () => Promise<void>;
}

export interface CallOptions {
  headers?: Record<string, string>;
  body?: unknown;
  roles?: string[];
}

const bothRoles = ['access_as_application_API1', 'write_as_application_API1'];

/** records-api on a database, which is SQLite in a new folder unless one is given, with tokens of a made-up issuer. */
export const startTestApi = async (given?: RecordDatabase, importPace?: ImportPace): Promise<TestApi> => {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-'));
  const database = given ?? openSqlite(folder);
  await migrate(database.writes, database.engine);
  const store = createRecordStore(database);
  const issuer = createStaticIssuer();
  const log: string[] = [];
  const app = createApp({
    logger: createLogger({
      name: 'records-api',
      version: '0',
      destination: { write: (line) => log.push(line) },
    }),
    version: '0',
    readiness: { accepting: true },
    store,
    ...(importPace && { importPace }),
    verifier: createTokenVerifier({
      authorityHost: issuer.origin,
      tenantId,
      clientId: apiClientId,
      network: issuer.network,
    }),
  });
  const server = createServer(app.callback()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const tokens = new Map<string, string>();
  const tokenFor = (roles: string[]): string => {
    const known = tokens.get(roles.join(' ')) ?? mint(issuer, Date.now(), { roles });
    tokens.set(roles.join(' '), known);
    return known;
  };

  return {
    url,
    database,
    log,
    token: (claims) => mint(issuer, Date.now(), { roles: bothRoles, ...claims }),
    call: (method, path, { headers, body, roles = bothRoles } = {}) =>
      fetch(url + path, {
        method,
        headers: {
          authorization: `Bearer ${tokenFor(roles)}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
};
