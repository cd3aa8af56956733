import type { Directory } from './directory.ts';

/** App ID URIs with and without slashes at their end name one API. */
export const withoutSlash = (uri: string): string => uri.replace(/\/+$/, '');

/** Another application than this one that has an App ID URI in a tenant: its client id. */
export const findUriOwner = (
  directory: Directory,
  tenantId: string,
  uri: string,
  appId: string,
): string | undefined => {
  const name = withoutSlash(uri);
  for (const candidate of [uri, name, `${name}/`]) {
    const owner = directory.servicePrincipalByName(tenantId, candidate);
    if (owner && owner.appId !== appId) return owner.appId;
  }
  for (const other of directory.applications(tenantId)) {
    if (other.appId !== appId && other.identifierUris.some((theirs) => withoutSlash(theirs) === name)) {
      return other.appId;
    }
  }
  return undefined;
};
