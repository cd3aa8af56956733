import { X509Certificate } from 'node:crypto';
import {
  createEntraNetwork,
  createTokenSource,
  type EntraNetwork,
  TokenAcquisitionError,
} from '@countersign/shared-auth';
import type { Agent } from 'undici';
import { CommandError, UsageError } from '../command-error.ts';
import { readText } from '../target.ts';
import { claimsOf } from '../token.ts';
import { createCarryOut } from './carry-out.ts';
import { createGraphClient, GraphError } from './graph-client.ts';
import { compareOutput, type Placeholders, writeOutput } from './outputs.ts';
import { type Change, keptSecret, makePlan, type Plan, type Surroundings } from './plan.ts';
import type { ProvisionFile, WantedApplication } from './provision-file.ts';
import { createSecretPlace, type SecretPlace } from './secret-place.ts';
import { readTenant, type TenantState } from './tenant-state.ts';

export interface ProvisionerOptions {
  file: ProvisionFile;
  authority: string;
  tenantId: string;
  graphOrigin: string;
  ca: string | undefined;
  dispatcher: Agent;
  /** A token for a resource, such as Graph's origin, by whoever is signed in. */
  signIn: (resource: string) => Promise<string>;
  clock: () => number;
  pause: (ms: number) => Promise<void>;
  onRetry?: (reason: string, ms: number) => void;
}

/** Whether an application gets the token that the file promises it. */
export interface TokenCheck {
  application: string;
  api: string;
  isGood: boolean;
  detail: string;
}

export interface Provisioner {
  plan(): Promise<Plan>;
  /** Does the changes in order, telling of each before it is begun. */
  carryOut(changes: readonly Change[], onChange: (change: Change) => void): Promise<void>;
  /** New secrets for one application, or for all that have one, whatever is left of the old ones. */
  rotationOf(key: string | undefined): Promise<Change[]>;
  /** Takes a token with every secret that is kept; if asked to, until what was changed is known everywhere. */
  checkTokens(isPatient: boolean): Promise<TokenCheck[]>;
  /** What destroying would delete. */
  remains(): Promise<{ application: WantedApplication; objectId: string; appId: string }[]>;
  destroy(): Promise<void>;
}

/** How long new secrets and grants may take to be known everywhere. */
const propagationMs = 180_000;

const readCertificates = (file: ProvisionFile): Map<string, { key: string; endDateTime: string }> =>
  new Map(
    file.applications.flatMap(({ key, certificate }) => {
      if (certificate === undefined) return [];
      const pem = readText(certificate.file, `${key}: the certificate`);
      try {
        const { raw, validToDate } = new X509Certificate(pem);
        return [[key, { key: raw.toString('base64'), endDateTime: validToDate.toISOString() }] as const];
      } catch {
        throw new UsageError(`${key}: ${certificate.file} holds no certificate in PEM.`);
      }
    }),
  );

const explained = (error: unknown): string =>
  error instanceof TokenAcquisitionError ? error.refusal.explanation : (error as Error).message;

export const createProvisioner = async (options: ProvisionerOptions): Promise<Provisioner> => {
  const { file, authority, tenantId, graphOrigin, ca, dispatcher, clock, pause } = options;
  const graph = createGraphClient({
    origin: graphOrigin,
    token: await options.signIn(graphOrigin),
    dispatcher,
    pause,
    ...(options.onRetry && { onRetry: options.onRetry }),
  });
  const places = new Map<string, SecretPlace>(
    file.applications.flatMap(({ key, secret }) =>
      secret === undefined
        ? []
        : [
            [
              key,
              createSecretPlace(secret.writeTo, {
                dispatcher,
                vaultToken: () => options.signIn('https://vault.azure.net'),
              }),
            ],
          ],
    ),
  );
  const certificates = readCertificates(file);

  const readKeptSecrets = async (): Promise<Surroundings['keptSecrets']> =>
    new Map(await Promise.all([...places].map(async ([key, place]) => [key, await place.read()] as const)));

  const placeholdersFor = async (state: TenantState): Promise<Placeholders> => {
    const values = new Map<string, string | undefined>([
      ['tenant', tenantId],
      ['authority', authority],
    ]);
    for (const { key, secret } of file.applications) {
      const application = state.get(key)?.application;
      values.set(`${key}.appId`, application?.appId);
      if (secret === undefined) continue;
      const kept = keptSecret(
        application?.passwordCredentials ?? [],
        secret.displayName,
        await places.get(key)?.read(),
      );
      values.set(`${key}.secretEnds`, kept?.endDateTime);
      if ('file' in secret.writeTo) values.set(`${key}.secretFile`, secret.writeTo.file);
    }
    return values;
  };

  const plan = async (): Promise<Plan> => {
    const state = await readTenant(graph, file);
    const placeholders = await placeholdersFor(state);
    const outputs = await Promise.all(
      file.outputs.map(async (output) => ({
        file: output.file,
        lines: await compareOutput(output, placeholders),
      })),
    );
    return makePlan(file, state, {
      keptSecrets: await readKeptSecrets(),
      certificates,
      outputs: outputs.filter(({ lines }) => lines.length > 0),
      nowMs: clock(),
    });
  };

  const withNetwork = async <Result>(use: (network: EntraNetwork) => Promise<Result>): Promise<Result> => {
    const network = createEntraNetwork(ca === undefined ? {} : { ca });
    try {
      return await use(network);
    } finally {
      network.close();
    }
  };

  const takeToken = (clientId: string, clientSecret: string, scope: string): Promise<string> =>
    withNetwork(async (network) => {
      const source = createTokenSource({
        authorityHost: authority,
        tenantId,
        clientId,
        credential: { clientSecret },
        network,
      });
      return (await source.getToken({ scope })).accessToken;
    });

  /** Until it is taken, or the time is up: a fresh secret is refused for a while (AADSTS7000215). */
  const eventually = async <Result>(attempt: () => Promise<Result>): Promise<Result> => {
    const endMs = clock() + propagationMs;
    for (let waitMs = 500; ; waitMs = Math.min(waitMs * 2, 10_000)) {
      try {
        return await attempt();
      } catch (error) {
        if (clock() + waitMs > endMs) throw error;
        options.onRetry?.(explained(error), waitMs);
        await pause(waitMs);
      }
    }
  };

  const waitForToken = async (wanted: WantedApplication, secret: string): Promise<void> => {
    const { application } =
      (await readTenant(graph, { ...file, applications: [wanted] })).get(wanted.key) ?? {};
    if (application === undefined) return;
    try {
      // Graph gives every application a token: it says that the secret is known, and nothing else.
      await eventually(() => takeToken(application.appId, secret, `${graphOrigin}/.default`));
    } catch (error) {
      throw new CommandError(
        `${wanted.key}: the new secret is not taken yet: ${explained(error)} Run it again.`,
      );
    }
  };
  const outputNamed = (path: string) =>
    file.outputs.find((each) => each.file === path) as ProvisionFile['outputs'][number];
  const carryOutOne = createCarryOut({
    file,
    graph,
    places,
    certificates,
    waitForToken,
    nowMs: clock,
    writeOutput: async (path) =>
      writeOutput(outputNamed(path), await placeholdersFor(await readTenant(graph, file))),
  });

  const checkToken = async (
    wanted: WantedApplication,
    api: string,
    state: TenantState,
  ): Promise<TokenCheck> => {
    const clientId = state.get(wanted.key)?.application?.appId;
    const apiId = state.get(api)?.application?.appId;
    const secret = await places.get(wanted.key)?.text();
    const base = { application: wanted.key, api };
    if (clientId === undefined || apiId === undefined || secret === undefined) {
      return { ...base, isGood: false, detail: 'not set up yet' };
    }
    const roles = wanted.grants.filter((grant) => grant.api === api).map(({ role }) => role);
    try {
      const claims = claimsOf(await takeToken(clientId, secret, `${apiId}/.default`));
      const held = Array.isArray(claims['roles']) ? claims['roles'] : [];
      const missing = roles.filter((role) => !held.includes(role));
      const isGood = claims['aud'] === apiId && claims['ver'] === '2.0' && missing.length === 0;
      const detail = isGood
        ? `version 2.0, roles ${roles.join(', ')}`
        : `lacks ${missing.join(', ') || 'version 2.0'}`;
      return { ...base, isGood, detail };
    } catch (error) {
      return { ...base, isGood: false, detail: explained(error) };
    }
  };

  const remains: Provisioner['remains'] = async () => {
    const state = await readTenant(graph, file);
    return file.applications.flatMap((application) => {
      const found = state.get(application.key)?.application;
      return found === undefined ? [] : [{ application, objectId: found.id, appId: found.appId }];
    });
  };

  return {
    plan,
    async carryOut(changes, onChange) {
      for (const change of changes) {
        onChange(change);
        try {
          await carryOutOne(change);
        } catch (error) {
          if (!(error instanceof GraphError) || error.status !== 403) throw error;
          throw new CommandError(
            `${change.subject}: Microsoft Graph refuses it. Application.ReadWrite.OwnedBy covers only what the signed-in identity owns: make it an owner, or give it Application.ReadWrite.All.`,
          );
        }
      }
    },
    async rotationOf(key) {
      const chosen = file.applications.filter(
        (each) => each.secret && (key === undefined || each.key === key),
      );
      if (chosen.length === 0)
        throw new UsageError(`The file names no secret${key === undefined ? '' : ` of ${key}`}.`);
      const state = await readTenant(graph, file);
      const applications = chosen.map((each) => ({
        ...each,
        secret: { ...(each.secret as NonNullable<typeof each.secret>), renewBeforeDays: Infinity },
      }));
      const { changes } = makePlan({ ...file, applications }, state, {
        keptSecrets: await readKeptSecrets(),
        certificates,
        outputs: [],
        nowMs: clock(),
      });
      return changes.filter(({ task }) => task.kind === 'add-secret' || task.kind === 'remove-secret');
    },
    async checkTokens(isPatient) {
      const state = await readTenant(graph, file);
      const checks = file.applications
        .filter(({ secret }) => secret !== undefined)
        .flatMap((wanted) =>
          [...new Set(wanted.grants.map(({ api }) => api))].map((api) => ({ wanted, api })),
        );
      return Promise.all(
        checks.map(async ({ wanted, api }) => {
          const check = await checkToken(wanted, api, state);
          if (check.isGood || !isPatient) return check;
          const again = async (): Promise<TokenCheck> => {
            const next = await checkToken(wanted, api, state);
            if (!next.isGood) throw new CommandError(`${wanted.key}: ${next.detail}`);
            return next;
          };
          return eventually(again).catch((error: Error) => ({ ...check, detail: error.message }));
        }),
      );
    },
    remains,
    async destroy() {
      for (const { objectId } of await remains()) {
        await graph.request('DELETE', `applications/${objectId}`, { accept: [404] });
      }
      // Of all: a run before this one may have ended in between.
      for (const place of places.values()) await place.remove();
    },
  };
};
