import type { ProvisionFile, WantedApplication, WantedRole } from './provision-file.ts';
import type {
  FoundApplication,
  GraphApplication,
  GraphPassword,
  GraphRole,
  TenantState,
} from './tenant-state.ts';

/** One line of what changes: `+` new, `-` gone, `~` other than before. */
export interface DiffLine {
  sign: '+' | '-' | '~';
  text: string;
}

/** What is to be done. `application` is its key in the file. */
export type Task =
  | { kind: 'create-application' }
  | { kind: 'patch-application'; body: Record<string, unknown> }
  /** `kept`: those that the application has, which go along. */
  | { kind: 'set-uris'; kept: readonly string[] }
  | { kind: 'create-principal' }
  | { kind: 'patch-principal'; body: Record<string, unknown> }
  | { kind: 'ask-permissions' }
  | { kind: 'grant'; api: string; role: string }
  | { kind: 'add-federation' | 'change-federation'; name: string }
  | { kind: 'add-certificate' }
  | { kind: 'add-secret' }
  | { kind: 'remove-secret'; keyId: string }
  | { kind: 'write-output'; file: string };

export interface Change {
  application: string;
  /** What changes, for people. */
  subject: string;
  action: 'create' | 'update' | 'delete';
  lines: readonly DiffLine[];
  task: Task;
}

/** What of the plan lies outside of Graph: read before it is made. */
export interface Surroundings {
  /** By application: whether a secret is the one that is kept. Undefined where none is. */
  keptSecrets: ReadonlyMap<string, ((password: GraphPassword) => boolean) | undefined>;
  /** By application: base64 of the certificate's DER. */
  certificates: ReadonlyMap<string, { key: string; endDateTime: string }>;
  /** Output files whose values differ, as far as they are known. */
  outputs: readonly { file: string; lines: readonly DiffLine[] }[];
  nowMs: number;
}

export interface Plan {
  changes: readonly Change[];
  /** What the tenant holds that the file does not name: left alone. */
  notes: readonly string[];
}

const dayMs = 86_400_000;

export const urisOf = (wanted: WantedApplication, appId: string): string[] =>
  wanted.identifierUris.map((uri) => uri.replaceAll('{appId}', appId));

const roleBody = ({ id, value, displayName, description }: WantedRole): GraphRole => ({
  id,
  value,
  displayName: displayName ?? value,
  description: description ?? value,
  isEnabled: true,
  allowedMemberTypes: ['Application'],
});

/** Graph's role for the file's: the same value, else the same id. */
export const roleNamed = (application: GraphApplication, value: string): GraphRole | undefined =>
  application.appRoles.find((role) => role.value === value);

/** What an application has to be from its first moment: v2 tokens, or its App ID URI may be refused. */
export const creationBody = (wanted: WantedApplication): Record<string, unknown> => ({
  displayName: wanted.displayName,
  signInAudience: 'AzureADMyOrg',
  api: { requestedAccessTokenVersion: 2 },
  ...(wanted.appRoles.length > 0 && {
    appRoles: wanted.appRoles.map(roleBody),
    optionalClaims: { accessToken: [{ name: 'idtyp' }] },
  }),
});

const changed = (name: string, from: unknown, to: unknown): DiffLine => ({
  sign: '~',
  text: `${name}: ${JSON.stringify(from)} → ${JSON.stringify(to)}`,
});

/** Roles are replaced as a whole: those that the file does not name go along, and every id stays. */
const planRoles = (
  wanted: WantedApplication,
  current: GraphApplication,
): { roles: GraphRole[]; lines: DiffLine[] } => {
  const lines: DiffLine[] = [];
  const kept = current.appRoles.map((role) => {
    const target = wanted.appRoles.find(({ value }) => value === role.value);
    if (target === undefined) return role;
    const next = {
      ...role,
      displayName: target.displayName ?? role.displayName,
      description: target.description ?? role.description,
      isEnabled: true,
      allowedMemberTypes: [...new Set([...role.allowedMemberTypes, 'Application'])],
    };
    for (const name of ['displayName', 'description', 'isEnabled', 'allowedMemberTypes'] as const) {
      if (JSON.stringify(role[name]) === JSON.stringify(next[name])) continue;
      lines.push(changed(`app role ${role.value}, ${name}`, role[name], next[name]));
    }
    return next;
  });
  const added = wanted.appRoles.filter(({ value }) => roleNamed(current, value) === undefined);
  lines.push(...added.map(({ value, id }): DiffLine => ({ sign: '+', text: `app role ${value} (${id})` })));
  return { roles: [...kept, ...added.map(roleBody)], lines };
};

const planApplication = (wanted: WantedApplication, current: GraphApplication): Change[] => {
  const lines: DiffLine[] = [];
  const body: Record<string, unknown> = {};
  const compare = (name: string, from: unknown, to: unknown, value: unknown = to): void => {
    if (from === to) return;
    lines.push(changed(name, from, to));
    body[name.split('.')[0] as string] = value;
  };
  const isAdopted = wanted.appId !== undefined;
  if (wanted.isNamed || !isAdopted) compare('displayName', current.displayName, wanted.displayName);
  if (!isAdopted) compare('signInAudience', current.signInAudience, 'AzureADMyOrg');
  // One that was adopted as a caller may be an API, too, whose own callers expect what it takes now.
  if (wanted.appRoles.length > 0 || !isAdopted) {
    const version = current.api?.requestedAccessTokenVersion ?? null;
    compare('api.requestedAccessTokenVersion', version, 2, { requestedAccessTokenVersion: 2 });
  }
  const roles = planRoles(wanted, current);
  if (roles.lines.length > 0) {
    body['appRoles'] = roles.roles;
    lines.push(...roles.lines);
  }
  const claims = current.optionalClaims?.accessToken ?? [];
  if (wanted.appRoles.length > 0 && !claims.some(({ name }) => name === 'idtyp')) {
    body['optionalClaims'] = { ...current.optionalClaims, accessToken: [...claims, { name: 'idtyp' }] };
    lines.push({ sign: '+', text: 'optional claim idtyp' });
  }
  const subject = `application ${wanted.displayName} (${current.appId})`;
  return lines.length === 0
    ? []
    : [
        {
          application: wanted.key,
          subject,
          action: 'update',
          lines,
          task: { kind: 'patch-application', body },
        },
      ];
};

const planUris = (wanted: WantedApplication, current: GraphApplication | undefined): Change[] => {
  const uris = current === undefined ? wanted.identifierUris : urisOf(wanted, current.appId);
  const missing = uris.filter((uri) => !current?.identifierUris.includes(uri));
  if (missing.length === 0) return [];
  return [
    {
      application: wanted.key,
      subject: `App ID URI of ${wanted.displayName}`,
      action: 'update',
      lines: missing.map((uri) => ({ sign: '+', text: uri })),
      task: { kind: 'set-uris', kept: current?.identifierUris ?? [] },
    },
  ];
};

const planPrincipal = (wanted: WantedApplication, { principal }: FoundApplication): Change[] => {
  const subject = `service principal of ${wanted.displayName}`;
  const { key: application, assignmentRequired } = wanted;
  if (principal === undefined) {
    const lines: DiffLine[] = [
      { sign: '+', text: `appRoleAssignmentRequired: ${assignmentRequired ?? false}` },
    ];
    return [{ application, subject, action: 'create', lines, task: { kind: 'create-principal' } }];
  }
  const body = {
    ...(!principal.accountEnabled && { accountEnabled: true }),
    ...(assignmentRequired !== undefined &&
      principal.appRoleAssignmentRequired !== assignmentRequired && {
        appRoleAssignmentRequired: assignmentRequired,
      }),
  };
  const lines = Object.entries(body).map(([name, value]) => changed(name, !value, value));
  return lines.length === 0
    ? []
    : [{ application, subject, action: 'update', lines, task: { kind: 'patch-principal', body } }];
};

/**
 * What the client's registration says that it asks for; the grant is another thing, and all that one needs that was
 * adopted, whose registration may be somebody else's.
 */
const planPermissions = (wanted: WantedApplication, state: TenantState): Change[] => {
  if (wanted.appId !== undefined) return [];
  const asked = state.get(wanted.key)?.application?.requiredResourceAccess ?? [];
  const missing = wanted.grants.filter(({ api, role }) => {
    const resource = state.get(api)?.application;
    const id = resource && roleNamed(resource, role)?.id;
    const access = asked.find(({ resourceAppId }) => resourceAppId === resource?.appId)?.resourceAccess ?? [];
    return !access.some((each) => each.id === id && each.type === 'Role');
  });
  if (missing.length === 0) return [];
  return [
    {
      application: wanted.key,
      subject: `permissions that ${wanted.displayName} asks for`,
      action: 'update',
      lines: missing.map(({ api, role }) => ({ sign: '+', text: `${role} of ${api}` })),
      task: { kind: 'ask-permissions' },
    },
  ];
};

const planGrants = (wanted: WantedApplication, state: TenantState): Change[] => {
  const principalId = state.get(wanted.key)?.principal?.id;
  return wanted.grants.flatMap(({ api, role }): Change[] => {
    const resource = state.get(api);
    const roleId = resource?.application && roleNamed(resource.application, role)?.id;
    const isThere =
      principalId !== undefined &&
      resource?.assignedTo.some((each) => each.principalId === principalId && each.appRoleId === roleId);
    return isThere
      ? []
      : [
          {
            application: wanted.key,
            subject: `admin consent for ${wanted.displayName}`,
            action: 'create',
            lines: [{ sign: '+', text: `${role} of ${api}` }],
            task: { kind: 'grant', api, role },
          },
        ];
  });
};

const planFederations = (wanted: WantedApplication, { federated }: FoundApplication): Change[] =>
  wanted.federated.flatMap(({ name, issuer, subject, audience }): Change[] => {
    const current = federated.find((each) => each.name === name);
    const base = {
      application: wanted.key,
      subject: `federated credential ${name} of ${wanted.displayName}`,
    };
    if (current === undefined) {
      const lines: DiffLine[] = [`issuer: ${issuer}`, `subject: ${subject}`].map((text) => ({
        sign: '+',
        text,
      }));
      return [{ ...base, action: 'create', lines, task: { kind: 'add-federation', name } }];
    }
    const lines = [
      ...(current.issuer === issuer ? [] : [changed('issuer', current.issuer, issuer)]),
      ...(current.subject === subject ? [] : [changed('subject', current.subject, subject)]),
      ...(current.audiences[0] === audience ? [] : [changed('audience', current.audiences[0], audience)]),
    ];
    return lines.length === 0
      ? []
      : [{ ...base, action: 'update', lines, task: { kind: 'change-federation', name } }];
  });

const planCertificate = (
  wanted: WantedApplication,
  { application }: FoundApplication,
  certificate: { key: string; endDateTime: string } | undefined,
): Change[] => {
  if (certificate === undefined) return [];
  const isThere = application?.keyCredentials.some(({ key }) => key === certificate.key);
  return isThere
    ? []
    : [
        {
          application: wanted.key,
          subject: `certificate of ${wanted.displayName}`,
          action: 'create',
          lines: [{ sign: '+', text: `${wanted.certificate?.file}, ends ${certificate.endDateTime}` }],
          task: { kind: 'add-certificate' },
        },
      ];
};

/** The secret that is kept, out of those that bear the file's name for it: the newest one that fits. */
export const keptSecret = (
  passwords: readonly GraphPassword[],
  displayName: string,
  isKept: ((password: GraphPassword) => boolean) | undefined,
): GraphPassword | undefined =>
  passwords
    .filter((each) => each.displayName === displayName && isKept?.(each))
    .toSorted((left, right) => right.startDateTime.localeCompare(left.startDateTime))[0];

const planSecret = (
  wanted: WantedApplication,
  { application }: FoundApplication,
  { keptSecrets, nowMs }: Surroundings,
): Change[] => {
  const { secret, key } = wanted;
  if (secret === undefined) return [];
  const passwords = application?.passwordCredentials ?? [];
  const kept = keptSecret(passwords, secret.displayName, keptSecrets.get(key));
  const leftDays = kept === undefined ? 0 : (Date.parse(kept.endDateTime) - nowMs) / dayMs;
  const isGood = kept !== undefined && leftDays > secret.renewBeforeDays;
  const reason =
    kept === undefined ? 'none is kept' : leftDays <= 0 ? 'has expired' : `${Math.floor(leftDays)} days left`;
  const superfluous = passwords.filter(
    (each) => each.displayName === secret.displayName && !(isGood && each === kept),
  );
  const subject = `secret "${secret.displayName}" of ${wanted.displayName}`;
  return [
    ...(isGood
      ? []
      : [
          {
            application: key,
            subject,
            action: kept === undefined ? ('create' as const) : ('update' as const),
            lines: [{ sign: '+' as const, text: `valid for ${secret.lifetimeDays} days (${reason})` }],
            task: { kind: 'add-secret' as const },
          },
        ]),
    ...superfluous.map(({ keyId, endDateTime }): Change => ({
      application: key,
      subject,
      action: 'delete',
      lines: [
        {
          sign: '-',
          text: `${keyId}, ends ${endDateTime}${keyId === kept?.keyId ? '' : ': its text is not kept'}`,
        },
      ],
      task: { kind: 'remove-secret', keyId },
    })),
  ];
};

const planNotes = (wanted: WantedApplication, state: TenantState, file: ProvisionFile): string[] => {
  const found = state.get(wanted.key);
  if (found?.application === undefined) return [];
  const { application, federated, assignedTo } = found;
  const declared = new Set(
    file.applications.flatMap(({ key, grants }) => {
      const id = state.get(key)?.principal?.id;
      return grants.flatMap(({ api, role }) =>
        api === wanted.key && id !== undefined ? [`${id} ${roleNamed(application, role)?.id}`] : [],
      );
    }),
  );
  const uris = urisOf(wanted, application.appId);
  return [
    ...application.appRoles
      .filter(({ value }) => !wanted.appRoles.some((role) => role.value === value))
      .map(({ value }) => `app role ${value} of ${wanted.displayName}`),
    ...application.identifierUris
      .filter((uri) => !uris.includes(uri))
      .map((uri) => `App ID URI ${uri} of ${wanted.displayName}`),
    ...federated
      .filter(({ name }) => !wanted.federated.some((each) => each.name === name))
      .map(({ name, subject }) => `federated credential ${name} of ${wanted.displayName}: ${subject}`),
    ...application.passwordCredentials
      .filter(({ displayName }) => displayName !== wanted.secret?.displayName)
      .map(({ displayName, keyId }) => `secret "${displayName ?? ''}" (${keyId}) of ${wanted.displayName}`),
    ...assignedTo
      .filter(({ principalId, appRoleId }) => !declared.has(`${principalId} ${appRoleId}`))
      .map(({ principalDisplayName, appRoleId }) => {
        const role = application.appRoles.find(({ id }) => id === appRoleId)?.value ?? appRoleId;
        return `${principalDisplayName ?? 'somebody'} holds ${role} of ${wanted.displayName}`;
      }),
  ];
};

/** What it takes to make the tenant as the file says, in the order in which Entra takes it. Pure. */
export const makePlan = (file: ProvisionFile, state: TenantState, surroundings: Surroundings): Plan => {
  const each = (step: (wanted: WantedApplication, found: FoundApplication) => Change[]): Change[] =>
    file.applications.flatMap((wanted) => step(wanted, state.get(wanted.key) as FoundApplication));
  const changes = [
    ...each((wanted, found) => [
      ...(found.application === undefined ? [creation(wanted)] : planApplication(wanted, found.application)),
      ...planUris(wanted, found.application),
      ...planPrincipal(wanted, found),
    ]),
    ...each((wanted) => [...planPermissions(wanted, state), ...planGrants(wanted, state)]),
    ...each((wanted, found) => [
      ...planFederations(wanted, found),
      ...planCertificate(wanted, found, surroundings.certificates.get(wanted.key)),
      ...planSecret(wanted, found, surroundings),
    ]),
    ...surroundings.outputs.map(({ file: path, lines }): Change => ({
      application: '',
      subject: path,
      action: 'update',
      lines,
      task: { kind: 'write-output', file: path },
    })),
  ];
  return { changes, notes: file.applications.flatMap((wanted) => planNotes(wanted, state, file)) };
};

const creation = (wanted: WantedApplication): Change => ({
  application: wanted.key,
  subject: `application ${wanted.displayName}`,
  action: 'create',
  lines: [
    { sign: '+', text: 'requestedAccessTokenVersion: 2' },
    ...wanted.appRoles.map(({ value, id }): DiffLine => ({ sign: '+', text: `app role ${value} (${id})` })),
  ],
  task: { kind: 'create-application' },
});
