import { dirname } from 'node:path';
import { oneLine } from '../terminal.ts';
import { creationBody, type Change, type Plan } from './plan.ts';
import type { ProvisionFile, WantedApplication } from './provision-file.ts';
import { keyOf } from './tenant-state.ts';

/** What the shell fills in: a variable, or what a command prints. */
interface Filled {
  shell: string;
}

const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** One word of a command. Whatever file and tenant say in it, the shell expands nothing but what is to be filled in. */
const word = (literals: readonly string[], ...values: (string | Filled)[]): string => {
  let [text = '', ...rest] = literals;
  let made = '';
  for (const [index, after] of rest.entries()) {
    const value = values[index] ?? '';
    if (typeof value === 'string') text += value + after;
    else {
      made += (text && quote(text)) + value.shell;
      text = after;
    }
  }
  return made + (text && quote(text)) || quote('');
};

const variable = (key: string, what: string): string => `${key.replaceAll('-', '_').toUpperCase()}_${what}`;
const ref = (key: string, what: string): Filled => ({ shell: `"$${variable(key, what)}"` });

/** A literal of JMESPath, which `--query` is written in. */
const literal = (text: string): string => `\`${JSON.stringify(text).replaceAll('`', '\\`')}\``;

const findPrincipal = (key: string): string =>
  `${variable(key, 'SP_ID')}=$(az ad sp show --id ${ref(key, 'APP_ID').shell} --query id -o tsv)`;

const roleOf = (api: string, role: string): Filled => ({
  shell: `"$(az ad app show --id ${ref(api, 'APP_ID').shell} --query ${word`appRoles[?value==${literal(role)}].id | [0]`} -o tsv)"`,
});

/** The plan as commands of the Azure CLI, for who may run nothing else. */
export const azScript = ({ changes }: Plan, file: ProvisionFile, graphOrigin: string): string => {
  const created = new Set(
    changes.flatMap(({ application, task }) => (task.kind === 'create-application' ? [application] : [])),
  );
  const find = (wanted: WantedApplication): string =>
    `${variable(wanted.key, 'APP_ID')}=$(az rest --method get --url ${word`${graphOrigin}/v1.0/${keyOf(wanted)}`} --query appId -o tsv)`;

  const commandsOf = ({ application, task }: Change): string[] => {
    const wanted = file.applications.find(({ key }) => key === application);
    if (wanted === undefined) return [];
    const { key, secret } = wanted;
    const app = ref(key, 'APP_ID');
    switch (task.kind) {
      case 'create-application':
        return [
          `az rest --method patch --headers Prefer=create-if-missing Content-Type=application/json --url ${word`${graphOrigin}/v1.0/${keyOf(wanted)}`} --body ${word`${JSON.stringify(creationBody(wanted))}`}`,
          find(wanted),
        ];
      case 'patch-application':
        return [
          `az rest --method patch --url ${word`${graphOrigin}/v1.0/applications(appId='${app}')`} --body ${word`${JSON.stringify(task.body)}`}`,
        ];
      case 'set-uris': {
        const own = wanted.identifierUris.map((uri) =>
          word(
            uri.split('{appId}'),
            ...uri
              .split('{appId}')
              .slice(1)
              .map(() => app),
          ),
        );
        const kept = task.kept.map((uri) => word`${uri}`);
        return [`az ad app update --id ${app.shell} --identifier-uris ${[...kept, ...own].join(' ')}`];
      }
      case 'create-principal':
        return [
          `az ad sp create --id ${app.shell}`,
          ...(wanted.assignmentRequired
            ? [`az ad sp update --id ${app.shell} --set appRoleAssignmentRequired=true`]
            : []),
        ];
      case 'patch-principal':
        return Object.entries(task.body).map(
          ([name, value]) => `az ad sp update --id ${app.shell} --set ${word`${name}=${String(value)}`}`,
        );
      case 'ask-permissions':
        return wanted.grants.map(
          ({ api, role }) =>
            `az ad app permission add --id ${app.shell} --api ${ref(api, 'APP_ID').shell} --api-permissions ${word`${roleOf(api, role)}=Role`}`,
        );
      case 'grant': {
        const { api, role } = task;
        const [principal, resource] = [ref(key, 'SP_ID'), ref(api, 'SP_ID')];
        return [
          findPrincipal(api),
          findPrincipal(key),
          `az rest --method post --url ${word`${graphOrigin}/v1.0/servicePrincipals/${resource}/appRoleAssignedTo`} --body ${word`{"principalId":"${principal}","resourceId":"${resource}","appRoleId":"${roleOf(api, role)}"}`}`,
        ];
      }
      case 'add-federation':
      case 'change-federation': {
        const { name, issuer, subject, audience } = wanted.federated.find(
          (each) => each.name === task.name,
        ) as (typeof wanted.federated)[number];
        const verb =
          task.kind === 'add-federation' ? 'create' : `update --federated-credential-id ${word`${name}`}`;
        const parameters = JSON.stringify({ name, issuer, subject, audiences: [audience] });
        return [
          `az ad app federated-credential ${verb} --id ${app.shell} --parameters ${word`${parameters}`}`,
        ];
      }
      case 'add-certificate':
        return [
          `az ad app credential reset --id ${app.shell} --append --cert ${word`@${wanted.certificate?.file ?? ''}`}`,
        ];
      case 'add-secret': {
        const place = secret && 'file' in secret.writeTo ? secret.writeTo.file : `${key}.secret`;
        return [
          `(umask 077 && mkdir -p ${word`${dirname(place)}`} && az ad app credential reset --id ${app.shell} --append --display-name ${word`${secret?.displayName ?? ''}`} --end-date "$(date -u -d '+${secret?.lifetimeDays} days' +%Y-%m-%d)" --query password -o tsv > ${word`${place}`})`,
        ];
      }
      case 'remove-secret':
        return [`az ad app credential delete --id ${app.shell} --key-id ${word`${task.keyId}`}`];
      default:
        return [];
    }
  };

  return [
    '#!/bin/sh -eu',
    ...file.applications.filter(({ key }) => !created.has(key)).map(find),
    ...changes.flatMap((change) => [`# ${change.action} ${oneLine(change.subject)}`, ...commandsOf(change)]),
    '',
  ].join('\n');
};
