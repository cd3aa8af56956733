import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createEntraNetwork, createTokenSource } from '@countersign/shared-auth';
import { CommandError } from '../command-error.ts';
import { localTenantId } from '../local-system.ts';
import type { SystemAddresses } from '../system.ts';
import type { Target } from '../target.ts';
import { claimsOf } from '../token.ts';

/** Client id of the application that local-entra's seed has for setting up others. */
const localProvisioner = 'a91000ff-0000-4000-8000-0000000000ff';

const graphOrigins: Readonly<Record<string, string>> = {
  'https://login.microsoftonline.com': 'https://graph.microsoft.com',
  'https://login.microsoftonline.us': 'https://graph.microsoft.us',
  'https://login.partner.microsoftonline.cn': 'https://microsoftgraph.chinacloudapi.cn',
};

/** Where an authority's tenants are set up; local-entra is its own Graph. */
export const graphOriginOf = (authority: string): string => graphOrigins[authority] ?? authority;

export interface SignInOptions {
  authority: string;
  tenantId: string;
  /** What the token is for, such as `https://graph.microsoft.com`. */
  resource: string;
  /** Credentials from the environment, if there are any. */
  target: Target;
  /** The local system that runs, if one does. */
  local: SystemAddresses | undefined;
}

const azureCliToken = async (resource: string, tenantId: string): Promise<string> => {
  const args = [
    'account',
    'get-access-token',
    '--scope',
    `${resource}/.default`,
    '--tenant',
    tenantId,
    '-o',
    'json',
  ];
  try {
    const { stdout } = await promisify(execFile)('az', args, { timeout: 60_000 });
    return (JSON.parse(stdout) as { accessToken: string }).accessToken;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    const reason =
      code === 'ENOENT' ? 'the Azure CLI is not installed' : (stderr ?? '').trim().split('\n').at(-1);
    throw new CommandError(
      `Nobody to sign in as: set AZURE_CLIENT_ID and a credential of AZURE_*, start a local system (npm start), or sign in by az login (${reason}).`,
    );
  }
};

/** A token by the environment's credentials, by the local system's provisioner, or by the Azure CLI; in this order. */
export const signIn = async ({
  authority,
  tenantId,
  resource,
  target,
  local,
}: SignInOptions): Promise<string> => {
  const isLocal = local !== undefined && local.entraOrigin === authority && tenantId === localTenantId;
  const own = target.clientId !== undefined && target.credential.length > 0 && !target.isLocal;
  if (!own && !isLocal) return azureCliToken(resource, tenantId);
  const ca = target.ca ?? (isLocal ? await readFile(local.caFile, 'utf8') : undefined);
  const network = createEntraNetwork(ca === undefined ? {} : { ca });
  try {
    const source = createTokenSource({
      authorityHost: authority,
      tenantId,
      clientId: own ? (target.clientId as string) : localProvisioner,
      credential: own
        ? target.credential
        : { clientSecretFile: join((local as SystemAddresses).secretsFolder, 'provisioner') },
      network,
    });
    return (await source.getToken({ scope: `${resource}/.default` })).accessToken;
  } finally {
    network.close();
  }
};

interface Need {
  any: readonly string[];
  why: string;
}

const toRead: Need = {
  any: ['Application.Read.All', 'Application.ReadWrite.All', 'Directory.Read.All'],
  why: 'read applications and grants',
};
const toWrite: Need = {
  any: ['Application.ReadWrite.OwnedBy', 'Application.ReadWrite.All'],
  why: 'create and change applications',
};
const toGrant: Need = { any: ['AppRoleAssignment.ReadWrite.All'], why: 'grant app roles' };

/**
 * Checked before anything else is asked of Graph.
 *
 * @throws {CommandError} naming each permission that the token lacks.
 */
export const assertPermissions = (token: string, what: { writes: boolean; grants: boolean }): void => {
  const { roles, scp, app_displayname: name, appid, azp } = claimsOf(token);
  const held = new Set([
    ...(Array.isArray(roles) ? roles : []),
    ...(typeof scp === 'string' ? scp.split(' ') : []),
  ]);
  // A person's token may act as the person, within the roles that the directory gave them.
  if (held.has('Directory.AccessAsUser.All')) return;
  const needs = [toRead, ...(what.writes ? [toWrite] : []), ...(what.writes && what.grants ? [toGrant] : [])];
  const missing = needs.filter(({ any }) => !any.some((permission) => held.has(permission)));
  if (missing.length === 0) return;
  const named = [name, appid, azp].find((claim) => typeof claim === 'string');
  const who = named ?? 'the signed-in identity';
  const list = missing.map(({ any, why }) => `  ${any[0]}, to ${why}`);
  throw new CommandError(
    `${who} lacks permissions of Microsoft Graph (application permissions, with admin consent):\n${list.join('\n')}`,
  );
};
