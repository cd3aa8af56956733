import { randomUUID } from 'node:crypto';
import type { EntraContext } from '../entra-context.ts';
import type { AppRoleAssignment, ServicePrincipal } from '../directory/entities.ts';
import { isForApplications } from '../directory/grants.ts';
import { assignmentBody } from './application-body.ts';
import { badRequest, notFound } from './graph-error.ts';
import { keyAt, type GraphAnswer, type GraphRequest } from './graph-request.ts';
import { assignmentProperties } from './graph-properties.ts';
import { parseBody } from './parse-body.ts';
import { requireAssign, requireRead } from './permissions.ts';
import { listPage, select, type GraphObject } from './query-options.ts';
import { findServicePrincipal } from './service-principals.ts';

/** From which end a grant is looked at: the API's (`appRoleAssignedTo`) or the caller's (`appRoleAssignments`). */
export type AssignmentEnd = 'appRoleAssignedTo' | 'appRoleAssignments';

/** "Access, and no role in particular": can be granted on an API that has no roles. */
const defaultAccess = '00000000-0000-0000-0000-000000000000';

const resourceOf = (entra: EntraContext, tenantId: string, assignment: AppRoleAssignment): GraphObject => ({
  id: assignment.id,
  deletedDateTime: null,
  appRoleId: assignment.appRoleId,
  createdDateTime: new Date(assignment.createdMs).toISOString(),
  principalDisplayName:
    entra.directory.servicePrincipalById(tenantId, assignment.principalId)?.displayName ?? null,
  principalId: assignment.principalId,
  principalType: 'ServicePrincipal',
  resourceDisplayName:
    entra.directory.servicePrincipalById(tenantId, assignment.resourceId)?.displayName ?? null,
  resourceId: assignment.resourceId,
});

const assignmentsAt = (entra: EntraContext, principal: ServicePrincipal, end: AssignmentEnd) =>
  end === 'appRoleAssignedTo'
    ? entra.directory.assignmentsOn(principal.id)
    : entra.directory.assignmentsOf(principal.id);

const context = (request: GraphRequest, principal: ServicePrincipal, end: AssignmentEnd): string =>
  `${request.contextUrl}#servicePrincipals('${principal.id}')/${end}`;

const find = (entra: EntraContext, request: GraphRequest, end: AssignmentEnd): AppRoleAssignment => {
  const { value } = keyAt(request, 1);
  const assignment = assignmentsAt(entra, findServicePrincipal(entra, request), end).find(
    ({ id }) => id === value,
  );
  if (!assignment) throw notFound(value);
  return assignment;
};

type AssignmentOperation = (entra: EntraContext, request: GraphRequest) => GraphAnswer;

export const listAssignments = (end: AssignmentEnd): AssignmentOperation =>
  function listAssignments(entra, request) {
    requireRead(request);
    const principal = findServicePrincipal(entra, request);
    const objects = assignmentsAt(entra, principal, end).map((assignment) =>
      resourceOf(entra, request.tenant.id, assignment),
    );
    return {
      status: 200,
      body: {
        '@odata.context': context(request, principal, end),
        ...listPage(objects, request, assignmentProperties),
      },
    };
  };

export const getAssignment = (end: AssignmentEnd): AssignmentOperation =>
  function getAssignment(entra, request) {
    requireRead(request);
    const object = resourceOf(entra, request.tenant.id, find(entra, request, end));
    return { status: 200, body: { ...select(object, request.query, assignmentProperties) } };
  };

/** Grants a role: what admin consent does. */
export const addAssignment = (end: AssignmentEnd): AssignmentOperation =>
  function addAssignment(entra, request) {
    requireAssign(request);
    const { directory } = entra;
    const principal = findServicePrincipal(entra, request);
    const { known } = parseBody(assignmentBody, request.body);
    const [named, name] =
      end === 'appRoleAssignedTo' ? [known.resourceId, 'resourceId'] : [known.principalId, 'principalId'];
    if (named !== principal.id)
      throw badRequest(`${name} does not match the service principal in the address.`);
    const resource = directory.servicePrincipalById(request.tenant.id, known.resourceId);
    if (!resource) throw notFound(known.resourceId);
    if (!directory.servicePrincipalById(request.tenant.id, known.principalId))
      throw notFound(known.principalId);
    const role = directory
      .applicationByAppId(resource.appId)
      ?.appRoles.find(({ id }) => id === known.appRoleId);
    const canBeGranted = role?.isEnabled === true && isForApplications(role);
    if (!canBeGranted && known.appRoleId !== defaultAccess) {
      throw badRequest(`Permission being assigned was not found on application '${resource.appId}'.`);
    }
    if (
      directory
        .assignmentsOf(known.principalId)
        .some(({ resourceId, appRoleId }) => resourceId === known.resourceId && appRoleId === known.appRoleId)
    ) {
      throw badRequest('Permission being assigned already exists on the object', [
        { code: 'InvalidUpdate', message: 'Permission being assigned already exists on the object' },
      ]);
    }
    const assignment: AppRoleAssignment = {
      id: randomUUID(),
      ...known,
      createdMs: entra.clock(),
      visibleFromMs: entra.propagation.visibleFromMs('roles'),
    };
    directory.addAssignment(assignment);
    return {
      status: 201,
      body: {
        '@odata.context': `${context(request, principal, end)}/$entity`,
        ...resourceOf(entra, request.tenant.id, assignment),
      },
    };
  };

export const deleteAssignment = (end: AssignmentEnd): AssignmentOperation =>
  function deleteAssignment(entra, request) {
    requireAssign(request);
    entra.directory.removeAssignment(find(entra, request, end));
    return { status: 204 };
  };
