import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { isMap, isNode, LineCounter, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { UsageError } from '../command-error.ts';

const guid = z
  .string()
  .regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'must be a GUID')
  .transform((text) => text.toLowerCase());
const text = (most: number) => z.string().min(1, 'must not be empty').max(most);
const httpsUrl = z.url({ protocol: /^https$/, error: 'must be an https: URL' });

const appRole = z.strictObject({
  value: z.string().regex(/^\S{1,120}$/, 'must be 1 to 120 characters without spaces'),
  displayName: text(100).optional(),
  description: text(1000).optional(),
  /** Default: the one that the role has, else one made of application and value, the same for ever. */
  id: guid.optional(),
});

const place = z.union([
  z.strictObject({ file: text(1000) }),
  z.strictObject({ keyVault: z.strictObject({ url: httpsUrl, name: text(127) }) }),
  z.strictObject({
    kubernetesSecret: z.strictObject({
      file: text(1000),
      name: text(253),
      namespace: text(63).default('default'),
      key: text(253).default('client-secret'),
    }),
  }),
]);
export type SecretPlaceSettings = z.output<typeof place>;

const secret = z.strictObject({
  /** Secrets of this name belong to this file's place: others of the name are removed. */
  displayName: text(256).default('countersign'),
  lifetimeDays: z.int().min(1).max(730).default(180),
  /** It is replaced when fewer days are left. */
  renewBeforeDays: z.int().min(0).max(365).default(30),
  writeTo: place,
});

const federated = z.union([
  z.strictObject({ name: text(120), issuer: httpsUrl, subject: text(600), audience: text(600).optional() }),
  z.strictObject({
    name: text(120),
    kubernetes: z.strictObject({ issuer: httpsUrl, namespace: text(63), serviceAccount: text(253) }),
  }),
  z.strictObject({
    name: text(120),
    github: z
      .strictObject({
        repository: z.string().regex(/^[\w.-]+\/[\w.-]+$/, 'must be owner/repository'),
        branch: text(255).optional(),
        environment: text(255).optional(),
        pullRequest: z.literal(true).optional(),
      })
      .refine(
        ({ branch, environment, pullRequest }) =>
          [branch, environment, pullRequest].filter((each) => each !== undefined).length === 1,
        'must have one of branch, environment and pullRequest',
      ),
  }),
]);

const application = z.strictObject({
  /** Finds an application that was made in the portal; without it, uniqueName does, and creates. */
  appId: guid.optional(),
  uniqueName: text(128).optional(),
  /** Default: the one that it has; for a new one its uniqueName. */
  displayName: text(256).optional(),
  /** `{appId}` stands for the client id. Default for one with roles: `api://{appId}`. */
  identifierUris: z.array(text(255)).optional(),
  appRoles: z.array(appRole).default([]),
  /** Refuse tokens to applications without a role (AADSTS501051). Default: as it is; for a new one, no. */
  assignmentRequired: z.boolean().optional(),
  grants: z.array(z.strictObject({ api: text(128), roles: z.array(text(120)).min(1) })).default([]),
  secret: secret.optional(),
  /** PEM file of a certificate; its private key is not looked at. */
  certificate: z.strictObject({ file: text(1000) }).optional(),
  federated: z.array(federated).max(20, 'must be at most 20').default([]),
});

const schema = z.strictObject({
  /** Default: AZURE_TENANT_ID, or the tenant of the local system that runs. */
  tenant: guid.optional(),
  authority: httpsUrl.optional(),
  /** Default: that of the authority's cloud. */
  graph: httpsUrl.optional(),
  applications: z.record(z.string().regex(/^[a-z][a-z0-9-]{0,62}$/i, 'must be a short name'), application),
  outputs: z
    .array(z.strictObject({ file: text(1000), values: z.record(z.string().regex(/^\w+$/), z.string()) }))
    .default([]),
});

type Parsed = z.output<typeof schema>;
type ParsedApplication = z.output<typeof application>;

export interface WantedRole {
  id: string;
  value: string;
  /** Undefined where the file leaves it as it is. */
  displayName: string | undefined;
  description: string | undefined;
}

export interface WantedFederation {
  name: string;
  issuer: string;
  subject: string;
  audience: string;
}

/** An application as the file wants it, with every default filled in. */
export interface WantedApplication {
  /** How the file calls it. */
  key: string;
  appId: string | undefined;
  uniqueName: string;
  displayName: string;
  /** Whether the file says so itself. */
  isNamed: boolean;
  identifierUris: readonly string[];
  appRoles: readonly WantedRole[];
  /** Undefined where the file leaves it as it is. */
  assignmentRequired: boolean | undefined;
  grants: readonly { api: string; role: string }[];
  secret: z.output<typeof secret> | undefined;
  certificate: { file: string } | undefined;
  federated: readonly WantedFederation[];
}

export interface ProvisionFile {
  tenant: string | undefined;
  authority: string | undefined;
  graph: string | undefined;
  applications: readonly WantedApplication[];
  outputs: Parsed['outputs'];
}

/** A GUID that is always the same for the same names (RFC 9562 §5.8). */
const stableGuid = (...names: string[]): string => {
  const hex = createHash('sha256').update(names.join('\n')).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
};

const subjectOf = (credential: z.output<typeof federated>): WantedFederation => {
  const { name } = credential;
  const audience = 'api://AzureADTokenExchange';
  if ('issuer' in credential) {
    const { issuer, subject } = credential;
    return { name, issuer, subject, audience: credential.audience ?? audience };
  }
  if ('kubernetes' in credential) {
    const { issuer, namespace, serviceAccount } = credential.kubernetes;
    return { name, issuer, subject: `system:serviceaccount:${namespace}:${serviceAccount}`, audience };
  }
  const { repository, branch, environment } = credential.github;
  const what =
    branch === undefined
      ? environment === undefined
        ? 'pull_request'
        : `environment:${environment}`
      : `ref:refs/heads/${branch}`;
  return {
    name,
    issuer: 'https://token.actions.githubusercontent.com',
    subject: `repo:${repository}:${what}`,
    audience,
  };
};

const complete = (key: string, wanted: ParsedApplication): WantedApplication => {
  const uniqueName = wanted.uniqueName ?? key;
  return {
    key,
    appId: wanted.appId,
    uniqueName,
    displayName: wanted.displayName ?? uniqueName,
    isNamed: wanted.displayName !== undefined,
    identifierUris: wanted.identifierUris ?? (wanted.appRoles.length > 0 ? ['api://{appId}'] : []),
    appRoles: wanted.appRoles.map(({ id, value, displayName, description }) => ({
      id: id ?? stableGuid('app role', uniqueName, value),
      value,
      displayName,
      description: description ?? displayName,
    })),
    assignmentRequired: wanted.assignmentRequired,
    grants: wanted.grants.flatMap(({ api, roles }) => roles.map((role) => ({ api, role }))),
    secret: wanted.secret,
    certificate: wanted.certificate,
    federated: wanted.federated.map(subjectOf),
  };
};

/** What no schema of one field can see. */
const crossChecks = ({ applications, outputs }: Parsed): { path: (string | number)[]; message: string }[] => {
  const problems: { path: (string | number)[]; message: string }[] = [];
  const names = new Map<string, string>();
  for (const [key, { uniqueName = key, grants, appRoles }] of Object.entries(applications)) {
    const other = names.get(uniqueName);
    if (other !== undefined) {
      problems.push({ path: ['applications', key], message: `repeats the uniqueName of ${other}` });
    }
    names.set(uniqueName, key);
    appRoles.forEach(({ value }, index) => {
      if (appRoles.findIndex((role) => role.value === value) < index) {
        problems.push({
          path: ['applications', key, 'appRoles', index, 'value'],
          message: `repeats "${value}"`,
        });
      }
    });
    grants.forEach(({ api, roles }, index) => {
      const at = ['applications', key, 'grants', index];
      const resource = Object.hasOwn(applications, api) ? applications[api] : undefined;
      if (resource === undefined) {
        problems.push({ path: [...at, 'api'], message: `names no application of this file: "${api}"` });
        return;
      }
      roles.forEach((role, position) => {
        if (resource.appRoles.some(({ value }) => value === role)) return;
        problems.push({ path: [...at, 'roles', position], message: `names no role of ${api}: "${role}"` });
      });
    });
  }
  const written = new Map<string, string>();
  const claim = (file: string, path: (string | number)[]): void => {
    const other = written.get(resolve(file));
    if (other !== undefined) problems.push({ path, message: `names a file that ${other} writes, too` });
    written.set(resolve(file), fieldName(path));
  };
  for (const [key, application] of Object.entries(applications)) {
    const at = ['applications', key, 'secret', 'writeTo'];
    const writeTo = application.secret?.writeTo;
    if (writeTo && 'file' in writeTo) claim(writeTo.file, [...at, 'file']);
    if (writeTo && 'kubernetesSecret' in writeTo) {
      claim(writeTo.kubernetesSecret.file, [...at, 'kubernetesSecret', 'file']);
    }
  }
  outputs.forEach(({ file }, index) => claim(file, ['outputs', index, 'file']));
  return problems;
};

const fieldName = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (name, part) => (typeof part === 'number' ? `${name}[${part}]` : `${name}${name && '.'}${String(part)}`),
    '',
  );

const fail = (problems: readonly string[]): never => {
  throw new UsageError(problems.slice(0, 20).join('\n'));
};

/** The issues inside the alternative that was meant: the one that got furthest. */
const flatten = (issue: z.core.$ZodIssue): z.core.$ZodIssue[] => {
  if (issue.code !== 'invalid_union') return [issue];
  const [best] = issue.errors.toSorted((left, right) => left.length - right.length);
  if (best === undefined) return [issue];
  return best.flatMap((inner) => flatten({ ...inner, path: [...issue.path, ...inner.path] }));
};

/**
 * Reads a provisioning file.
 *
 * @throws {UsageError} with line and column of every mistake.
 */
export const parseProvisionFile = (content: string, source: string): ProvisionFile => {
  const lines = new LineCounter();
  const document = parseDocument(content, { lineCounter: lines });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${source}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    fail(
      document.errors.map(
        ({ pos, message }) => `${at(pos[0])}: ${message.split('\n', 1)[0]?.replace(/ at line \d+.*$/, '')}`,
      ),
    );
  }
  /** Where a field stands; where it is missing, the closest part of the file that does. */
  const placeOf = (path: readonly PropertyKey[], key?: string): string => {
    for (let length = path.length; length >= 0; length -= 1) {
      const node: unknown = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
      if (!isNode(node)) continue;
      const keyNode =
        key !== undefined && length === path.length && isMap(node)
          ? node.items.find((item) => String(item.key) === key)?.key
          : undefined;
      const range = isNode(keyNode) ? keyNode.range : node.range;
      if (range) return at(range[0]);
    }
    return at(0);
  };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    // Aliases of aliases of aliases: the first one leads to the rest.
    visit(document, {
      Alias: (_, { range }) => fail([`${at(range?.[0] ?? 0)}: ${(error as Error).message}`]),
    });
    throw error;
  }
  const result = schema.safeParse(value);
  if (!result.success) {
    const problems = result.error.issues
      .flatMap(flatten)
      .flatMap((issue) =>
        issue.code === 'unrecognized_keys'
          ? issue.keys.map(
              (key) => `${placeOf(issue.path, key)}: ${fieldName([...issue.path, key])} is not a known field`,
            )
          : [`${placeOf(issue.path)}: ${fieldName(issue.path) || 'the file'} ${lowerFirst(issue.message)}`],
      );
    return fail(problems);
  }
  const problems = crossChecks(result.data);
  if (problems.length > 0) {
    fail(problems.map(({ path, message }) => `${placeOf(path)}: ${fieldName(path)} ${message}`));
  }
  const { applications, outputs, tenant, authority, graph } = result.data;
  return {
    tenant,
    authority,
    graph,
    applications: Object.entries(applications).map(([key, wanted]) => complete(key, wanted)),
    outputs,
  };
};

const lowerFirst = (message: string): string =>
  /^(must|names|repeats)/.test(message)
    ? message
    : `is wrong: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
