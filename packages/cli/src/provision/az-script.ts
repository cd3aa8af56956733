import { creationBody, type Change, type Plan } from './plan.ts';
import type { ProvisionFile, WantedApplication } from './provision-file.ts';

const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;
const variable = (key: string, what: string): string => `${key.replaceAll('-', '_').toUpperCase()}_${what}`;
const ref = (key: string, what: string): string => `$${variable(key, what)}`;

const rest = (method: string, path: string, body: unknown): string =>
  `az rest --method ${method} --url "https://graph.microsoft.com/v1.0/${path}" --body ${quote(JSON.stringify(body))}`;

const find = ({ key, appId, uniqueName }: WantedApplication): string[] => {
  const path =
    appId === undefined ? `applications(uniqueName='${uniqueName}')` : `applications(appId='${appId}')`;
  return [
    `${variable(key, 'APP_ID')}=$(az rest --method get --url "https://graph.microsoft.com/v1.0/${path}" --query appId -o tsv)`,
  ];
};

const findPrincipal = (key: string): string =>
  `${variable(key, 'SP_ID')}=$(az ad sp show --id "${ref(key, 'APP_ID')}" --query id -o tsv)`;

const commandsOf = ({ application, task }: Change, file: ProvisionFile): string[] => {
  const wanted = file.applications.find(({ key }) => key === application);
  if (wanted === undefined) return [];
  const { key } = wanted;
  const app = ref(key, 'APP_ID');
  const roleIdOf = (api: string, role: string): string =>
    `$(az ad app show --id "${ref(api, 'APP_ID')}" --query "appRoles[?value=='${role}'].id | [0]" -o tsv)`;
  switch (task.kind) {
    case 'create-application':
      return [
        `az rest --method patch --headers Prefer=create-if-missing Content-Type=application/json --url "https://graph.microsoft.com/v1.0/applications(uniqueName='${wanted.uniqueName}')" --body ${quote(JSON.stringify(creationBody(wanted)))}`,
        ...find(wanted),
      ];
    case 'patch-application':
      return [rest('patch', `applications(appId='${app}')`, task.body)];
    case 'set-uris':
      return [
        `az ad app update --id "${app}" --identifier-uris ${wanted.identifierUris.map((uri) => `"${uri.replaceAll('{appId}', app)}"`).join(' ')}`,
      ];
    case 'create-principal':
      return [
        `az ad sp create --id "${app}"`,
        ...(wanted.assignmentRequired
          ? [`az ad sp update --id "${app}" --set appRoleAssignmentRequired=true`]
          : []),
      ];
    case 'patch-principal':
      return Object.entries(task.body).map(
        ([name, value]) => `az ad sp update --id "${app}" --set ${name}=${String(value)}`,
      );
    case 'ask-permissions':
      return wanted.grants.map(
        ({ api, role }) =>
          `az ad app permission add --id "${app}" --api "${ref(api, 'APP_ID')}" --api-permissions "${roleIdOf(api, role)}=Role"`,
      );
    case 'grant': {
      const { api, role } = task;
      return [
        findPrincipal(api),
        findPrincipal(key),
        `az rest --method post --url "https://graph.microsoft.com/v1.0/servicePrincipals/${ref(api, 'SP_ID')}/appRoleAssignedTo" --body "{\\"principalId\\":\\"${ref(key, 'SP_ID')}\\",\\"resourceId\\":\\"${ref(api, 'SP_ID')}\\",\\"appRoleId\\":\\"${roleIdOf(api, role)}\\"}"`,
      ];
    }
    case 'add-federation':
    case 'change-federation': {
      const { name, issuer, subject, audience } = wanted.federated.find(
        (each) => each.name === task.name,
      ) as (typeof wanted.federated)[number];
      const verb =
        task.kind === 'add-federation' ? 'create' : `update --federated-credential-id ${quote(name)}`;
      const parameters = JSON.stringify({ name, issuer, subject, audiences: [audience] });
      return [`az ad app federated-credential ${verb} --id "${app}" --parameters ${quote(parameters)}`];
    }
    case 'add-certificate':
      return [
        `az ad app credential reset --id "${app}" --append --cert ${quote(`@${wanted.certificate?.file}`)}`,
      ];
    case 'add-secret':
      return [
        `# prints the secret: send it where it is kept, not to the screen`,
        `az ad app credential reset --id "${app}" --append --display-name ${quote(wanted.secret?.displayName ?? '')} --end-date "$(date -u -d '+${wanted.secret?.lifetimeDays} days' +%Y-%m-%d)" --query password -o tsv | install -m 600 /dev/stdin client-secret`,
      ];
    case 'remove-secret':
      return [`az ad app credential delete --id "${app}" --key-id ${task.keyId}`];
    default:
      return [];
  }
};

/** The plan as commands of the Azure CLI, for who may run nothing else. */
export const azScript = ({ changes }: Plan, file: ProvisionFile): string => {
  const created = new Set(
    changes.flatMap(({ application, task }) => (task.kind === 'create-application' ? [application] : [])),
  );
  return [
    '#!/bin/sh -eu',
    ...file.applications.filter(({ key }) => !created.has(key)).flatMap(find),
    ...changes.flatMap((change) => [`# ${change.action} ${change.subject}`, ...commandsOf(change, file)]),
    '',
  ].join('\n');
};
