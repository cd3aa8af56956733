import { type GraphClient, GraphError } from './graph-client.ts';
import { creationBody, type Change, roleNamed, urisOf } from './plan.ts';
import type { ProvisionFile, WantedApplication } from './provision-file.ts';
import type { SecretPlace } from './secret-place.ts';
import { keyOf, type GraphApplication, type GraphFederation, type GraphPrincipal } from './tenant-state.ts';

export interface CarryOutDependencies {
  file: ProvisionFile;
  graph: GraphClient;
  places: ReadonlyMap<string, SecretPlace>;
  certificates: ReadonlyMap<string, { key: string; endDateTime: string }>;
  /** Waits until the application gets a token with its new secret. */
  waitForToken: (wanted: WantedApplication, secret: string) => Promise<void>;
  writeOutput: (file: string) => Promise<void>;
  nowMs: () => number;
}

/** Written a moment ago, and not everywhere yet. */
const isNotThereYet = ({ status, details, message }: GraphError): boolean =>
  status === 404 ||
  details.includes('NoBackingApplicationObject') ||
  /does not reference a valid application object|was not found on application/.test(message);

const alreadyGranted = ({ status, message }: GraphError): boolean =>
  status === 400 && message.includes('already exists on the object');

const dayMs = 86_400_000;

/** Does what a plan says, one change at a time. Each can be done again: a run that was killed is simply repeated. */
export const createCarryOut = ({
  file,
  graph,
  places,
  certificates,
  waitForToken,
  writeOutput,
  nowMs,
}: CarryOutDependencies): ((change: Change) => Promise<void>) => {
  const wantedBy = (key: string): WantedApplication =>
    file.applications.find((each) => each.key === key) as WantedApplication;
  const retried = { isTransient: isNotThereYet };

  const applicationOf = async (wanted: WantedApplication): Promise<GraphApplication> => {
    const select = '$select=id,appId,appRoles,identifierUris,requiredResourceAccess,keyCredentials';
    const { body } = await graph.request<GraphApplication>('GET', `${keyOf(wanted)}?${select}`, retried);
    return body;
  };
  const principalOf = async (wanted: WantedApplication): Promise<GraphPrincipal> => {
    const { appId } = await applicationOf(wanted);
    const { body } = await graph.request<GraphPrincipal>(
      'GET',
      `servicePrincipals(appId='${appId}')`,
      retried,
    );
    return body;
  };
  const patch = async (wanted: WantedApplication, body: unknown): Promise<void> => {
    const { id } = await applicationOf(wanted);
    await graph.request('PATCH', `applications/${id}`, { body, ...retried });
  };

  const askPermissions = async (wanted: WantedApplication): Promise<void> => {
    const { requiredResourceAccess: asked } = await applicationOf(wanted);
    const byResource = new Map(asked.map((each) => [each.resourceAppId, [...each.resourceAccess]]));
    for (const { api, role } of wanted.grants) {
      const resource = await applicationOf(wantedBy(api));
      const id = roleNamed(resource, role)?.id;
      const access = byResource.get(resource.appId) ?? [];
      if (id !== undefined && !access.some((each) => each.id === id)) access.push({ id, type: 'Role' });
      byResource.set(resource.appId, access);
    }
    const requiredResourceAccess = [...byResource].map(([resourceAppId, resourceAccess]) => ({
      resourceAppId,
      resourceAccess,
    }));
    await patch(wanted, { requiredResourceAccess });
  };

  const grant = async (wanted: WantedApplication, api: string, role: string): Promise<void> => {
    const resource = await principalOf(wantedBy(api));
    const { id: principalId } = await principalOf(wanted);
    const appRoleId = roleNamed(await applicationOf(wantedBy(api)), role)?.id;
    try {
      await graph.request('POST', `servicePrincipals/${resource.id}/appRoleAssignedTo`, {
        body: { principalId, resourceId: resource.id, appRoleId },
        ...retried,
      });
    } catch (error) {
      if (!alreadyGranted(error as GraphError)) throw error;
    }
  };

  const federate = async (wanted: WantedApplication, name: string): Promise<void> => {
    const { issuer, subject, audience } = wanted.federated.find(
      (each) => each.name === name,
    ) as (typeof wanted.federated)[number];
    const { id } = await applicationOf(wanted);
    const path = `applications/${id}/federatedIdentityCredentials`;
    const body = { issuer, subject, audiences: [audience] };
    const find = async (): Promise<GraphFederation | undefined> =>
      (await graph.list<GraphFederation>(path)).find((each) => each.name === name);
    const current = await find();
    if (current !== undefined) {
      await graph.request('PATCH', `${path}/${current.id}`, { body });
      return;
    }
    try {
      await graph.request('POST', path, { body: { name, ...body }, ...retried });
    } catch (error) {
      // Made already, when the answer to a first attempt was lost.
      const made = error instanceof GraphError && error.status === 400 ? await find() : undefined;
      if (made?.issuer !== issuer || made.subject !== subject) throw error;
    }
  };

  /** The array is replaced as a whole: the keys that are there go along. */
  const addCertificate = async (wanted: WantedApplication): Promise<void> => {
    const { keyCredentials } = await applicationOf(wanted);
    const key = certificates.get(wanted.key)?.key;
    const added = { type: 'AsymmetricX509Cert', usage: 'Verify', key, displayName: 'countersign' };
    await patch(wanted, { keyCredentials: [...keyCredentials, added] });
  };

  /** Its text goes from Graph's answer to its place, and nowhere else. The old one stays until this one works. */
  const addSecret = async (wanted: WantedApplication): Promise<void> => {
    const { id } = await applicationOf(wanted);
    const { displayName, lifetimeDays } = wanted.secret as NonNullable<typeof wanted.secret>;
    const endDateTime = new Date(nowMs() + lifetimeDays * dayMs).toISOString();
    const { body } = await graph.request<{ secretText: string; keyId: string; endDateTime: string }>(
      'POST',
      `applications/${id}/addPassword`,
      { body: { passwordCredential: { displayName, endDateTime } }, ...retried },
    );
    await waitForToken(wanted, body.secretText);
    await places
      .get(wanted.key)
      ?.write({ text: body.secretText, keyId: body.keyId, endDateTime: body.endDateTime });
  };

  return async ({ application, task }) => {
    if (task.kind === 'write-output') {
      await writeOutput(task.file);
      return;
    }
    const wanted = wantedBy(application);
    switch (task.kind) {
      case 'create-application':
        await graph.request('PATCH', keyOf(wanted), {
          body: creationBody(wanted),
          createIfMissing: true,
        });
        break;
      case 'patch-application':
        await patch(wanted, task.body);
        break;
      case 'set-uris': {
        const { appId, identifierUris } = await applicationOf(wanted);
        await patch(wanted, { identifierUris: [...new Set([...identifierUris, ...urisOf(wanted, appId)])] });
        break;
      }
      case 'create-principal': {
        const { appId } = await applicationOf(wanted);
        await graph.request('PATCH', `servicePrincipals(appId='${appId}')`, {
          body: { appRoleAssignmentRequired: wanted.assignmentRequired ?? false },
          createIfMissing: true,
          ...retried,
        });
        break;
      }
      case 'patch-principal':
        await graph.request('PATCH', `servicePrincipals/${(await principalOf(wanted)).id}`, {
          body: task.body,
        });
        break;
      case 'ask-permissions':
        await askPermissions(wanted);
        break;
      case 'grant':
        await grant(wanted, task.api, task.role);
        break;
      case 'add-federation':
      case 'change-federation':
        await federate(wanted, task.name);
        break;
      case 'add-certificate':
        await addCertificate(wanted);
        break;
      case 'add-secret':
        await addSecret(wanted);
        break;
      case 'remove-secret': {
        const { id } = await applicationOf(wanted);
        await graph.request('POST', `applications/${id}/removePassword`, {
          body: { keyId: task.keyId },
          // Gone already, when the answer to a first attempt was lost.
          accept: [400],
        });
        break;
      }
    }
  };
};
