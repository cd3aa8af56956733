/** One object of a collection: by object id, or by an alternate key such as `appId`. */
export interface GraphKey {
  by: string;
  value: string;
}

export interface GraphPath {
  /** The path with its keys taken out, such as `applications/{key}/addPassword`, lower-cased. */
  pattern: string;
  keys: readonly GraphKey[];
}

const collections: ReadonlySet<string> = new Set([
  'applications',
  'serviceprincipals',
  'federatedidentitycredentials',
  'approleassignedto',
  'approleassignments',
]);

const withKey = /^([a-z]+)\((?:([a-z]+)=)?'((?:[^']|'')*)'\)$/i;

/** Reads the path behind `/v1.0/`: `applications/{id}`, `applications(appId='…')`. Undefined if it is malformed. */
export const parseGraphPath = (path: string): GraphPath | undefined => {
  const parts: string[] = [];
  const keys: GraphKey[] = [];
  let inCollection = false;
  for (const encoded of path.split('/').filter((segment) => segment !== '')) {
    const segment = decode(encoded);
    if (segment === undefined) return undefined;
    const [, name, by = 'id', value] = withKey.exec(segment) ?? [];
    if (name !== undefined && value !== undefined) {
      parts.push(name.toLowerCase(), '{key}');
      keys.push({ by, value: value.replaceAll("''", "'") });
      inCollection = false;
    } else if (inCollection && !segment.startsWith('$')) {
      parts.push('{key}');
      keys.push({ by: 'id', value: segment });
      inCollection = false;
    } else {
      parts.push(segment.toLowerCase());
      inCollection = collections.has(segment.toLowerCase());
    }
  }
  return { pattern: parts.join('/'), keys };
};

const decode = (segment: string): string | undefined => {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
};
