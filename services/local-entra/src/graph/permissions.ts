import { forbidden } from './graph-error.ts';
import type { GraphPermission } from './graph-registration.ts';
import type { GraphRequest } from './graph-request.ts';

const holdsAny = (request: GraphRequest, ...permissions: GraphPermission[]): boolean =>
  permissions.some((permission) => request.permissions.has(permission));

/** @throws {GraphError} 403 unless the caller may read applications. */
export const requireRead = (request: GraphRequest): void => {
  const readers: GraphPermission[] = ['Application.Read.All', 'Application.ReadWrite.All'];
  if (!holdsAny(request, ...readers, 'Application.ReadWrite.OwnedBy', 'Directory.Read.All'))
    throw forbidden();
};

/** @throws {GraphError} 403 unless the caller may create applications. */
export const requireCreate = (request: GraphRequest): void => {
  if (!holdsAny(request, 'Application.ReadWrite.All', 'Application.ReadWrite.OwnedBy')) throw forbidden();
};

/** @throws {GraphError} 403 unless the caller may change this object: any, or one that it owns. */
export const requireWrite = (request: GraphRequest, object: { owners: readonly string[] }): void => {
  if (holdsAny(request, 'Application.ReadWrite.All')) return;
  const isOwner = object.owners.includes(request.caller.id);
  if (!isOwner || !holdsAny(request, 'Application.ReadWrite.OwnedBy')) throw forbidden();
};

/** @throws {GraphError} 403 unless the caller may grant roles. That takes reading every application, too. */
export const requireAssign = (request: GraphRequest): void => {
  const mayRead = holdsAny(
    request,
    'Application.Read.All',
    'Application.ReadWrite.All',
    'Directory.Read.All',
  );
  if (!mayRead || !holdsAny(request, 'AppRoleAssignment.ReadWrite.All')) throw forbidden();
};
