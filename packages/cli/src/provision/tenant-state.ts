import type { GraphClient } from './graph-client.ts';
import type { ProvisionFile, WantedApplication } from './provision-file.ts';
import { CommandError } from '../command-error.ts';

export interface GraphRole {
  id: string;
  value: string | null;
  displayName: string;
  description: string;
  isEnabled: boolean;
  allowedMemberTypes: string[];
}

export interface GraphPassword {
  keyId: string;
  displayName: string | null;
  hint: string | null;
  startDateTime: string;
  endDateTime: string;
}

export interface GraphKey {
  keyId: string;
  displayName: string | null;
  key: string | null;
  customKeyIdentifier: string | null;
  endDateTime: string;
}

export interface GraphApplication {
  id: string;
  appId: string;
  uniqueName: string | null;
  displayName: string;
  signInAudience: string;
  identifierUris: string[];
  api: { requestedAccessTokenVersion: number | null } | null;
  appRoles: GraphRole[];
  optionalClaims: { accessToken?: { name: string }[] | null } | null;
  requiredResourceAccess: { resourceAppId: string; resourceAccess: { id: string; type: string }[] }[];
  passwordCredentials: GraphPassword[];
  keyCredentials: GraphKey[];
}

export interface GraphPrincipal {
  id: string;
  appId: string;
  accountEnabled: boolean;
  appRoleAssignmentRequired: boolean;
}

export interface GraphAssignment {
  id: string;
  principalId: string;
  principalDisplayName: string | null;
  resourceId: string;
  appRoleId: string;
}

export interface GraphFederation {
  id: string;
  name: string;
  issuer: string;
  subject: string;
  audiences: string[];
}

/** What the tenant holds of one application of the file. */
export interface FoundApplication {
  application: GraphApplication | undefined;
  principal: GraphPrincipal | undefined;
  federated: readonly GraphFederation[];
  /** Who was granted its roles. */
  assignedTo: readonly GraphAssignment[];
}

export type TenantState = ReadonlyMap<string, FoundApplication>;

const properties =
  'id,appId,uniqueName,displayName,signInAudience,identifierUris,api,appRoles,optionalClaims,requiredResourceAccess,passwordCredentials,keyCredentials';

const quoted = (text: string): string => `'${encodeURIComponent(text.replaceAll("'", "''"))}'`;

/** The path of an application, by what the file knows of it. */
export const keyOf = ({ appId, uniqueName }: WantedApplication): string =>
  appId === undefined ? `applications(uniqueName=${quoted(uniqueName)})` : `applications(appId='${appId}')`;

/** One that was made in the portal has no uniqueName: a second one of its name is what nobody wants. */
const assertNoNamesake = async (graph: GraphClient, wanted: WantedApplication): Promise<void> => {
  const filter = `$filter=${encodeURIComponent(`displayName eq '${wanted.displayName.replaceAll("'", "''")}'`)}`;
  const namesakes = await graph.list<GraphApplication>(
    `applications?${filter}&$select=appId,uniqueName,displayName`,
  );
  const portalMade = namesakes.find(({ uniqueName }) => uniqueName === null);
  if (portalMade === undefined) return;
  throw new CommandError(
    `An application "${wanted.displayName}" exists that was not made by this command. To adopt it, write under ${wanted.key}: "appId: ${portalMade.appId}"; to have another one beside it, give ${wanted.key} another displayName.`,
  );
};

const findApplication = async (
  graph: GraphClient,
  wanted: WantedApplication,
): Promise<GraphApplication | undefined> => {
  const { status, body } = await graph.request<GraphApplication>(
    'GET',
    `${keyOf(wanted)}?$select=${properties}`,
    {
      accept: [404],
    },
  );
  if (status !== 404) return body;
  if (wanted.appId !== undefined) {
    throw new CommandError(
      `${wanted.key}: the tenant has no application ${wanted.appId}: leave appId out to create one.`,
    );
  }
  await assertNoNamesake(graph, wanted);
  return undefined;
};

const readApplication = async (graph: GraphClient, wanted: WantedApplication): Promise<FoundApplication> => {
  const application = await findApplication(graph, wanted);
  if (application === undefined) {
    return { application, principal: undefined, federated: [], assignedTo: [] };
  }
  const { status, body } = await graph.request<GraphPrincipal>(
    'GET',
    `servicePrincipals(appId='${application.appId}')`,
    { accept: [404] },
  );
  const principal = status === 404 ? undefined : body;
  const [federated, assignedTo] = await Promise.all([
    graph.list<GraphFederation>(`applications/${application.id}/federatedIdentityCredentials`),
    principal ? graph.list<GraphAssignment>(`servicePrincipals/${principal.id}/appRoleAssignedTo`) : [],
  ]);
  return { application, principal, federated, assignedTo };
};

/** What the tenant holds of everything in the file. */
export const readTenant = async (graph: GraphClient, file: ProvisionFile): Promise<TenantState> => {
  const found = await Promise.all(
    file.applications.map(async (wanted) => [wanted.key, await readApplication(graph, wanted)] as const),
  );
  return new Map(found);
};
