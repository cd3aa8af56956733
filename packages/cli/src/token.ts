import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createEntraNetwork, createTokenSource } from '@countersign/shared-auth';
import { localApplications, localTenantId, recordsApiScope } from './local-system.ts';
import { addressesFile, type SystemAddresses } from './system.ts';

export type LocalApplication = keyof typeof localApplications;

export const localApplicationNames = Object.keys(localApplications) as LocalApplication[];

/** A mistake of the person at the keyboard: shown as one sentence. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * `countersign token api2`: an access token for records-api, taken by a seeded application from the local-entra that
 * `npm start` runs.
 *
 * @throws {UsageError} when nothing runs on the data folder.
 */
export const takeToken = async (application: LocalApplication, dataFolder: string): Promise<string> => {
  const { entraOrigin, caFile, secretsFolder } = await readAddresses(dataFolder);
  const source = createTokenSource({
    authorityHost: entraOrigin,
    tenantId: localTenantId,
    clientId: localApplications[application],
    credential: { clientSecretFile: join(secretsFolder, application) },
    network: createEntraNetwork({ ca: await readFile(caFile, 'utf8') }),
  });
  const { accessToken } = await source.getToken({ scope: recordsApiScope });
  return accessToken;
};

const readAddresses = async (dataFolder: string): Promise<SystemAddresses> => {
  try {
    return JSON.parse(await readFile(addressesFile(dataFolder), 'utf8')) as SystemAddresses;
  } catch {
    throw new UsageError(`Nothing runs on the folder ${dataFolder}. Start the system first: npm start`);
  }
};
