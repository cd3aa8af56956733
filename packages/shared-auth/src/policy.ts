import { isGuid } from './claims.ts';
import { CallerNotAllowedError, InsufficientRoleError, type AuthError } from './errors.ts';
import type { Principal } from './principal.ts';

/**
 * Who may use a resource, as data. Each policy names roles or applications somewhere: Entra gives a token for any API
 * to any application of the tenant, so a policy that names neither would let in all of them.
 */
export type Policy =
  /** Applications with this app role. */
  | { readonly appRole: string }
  /** … with at least one of these. */
  | { readonly anyAppRole: readonly string[] }
  /** … with all of these. */
  | { readonly allAppRoles: readonly string[] }
  /** An access list: these client ids, with or without a role. Mind that anyone can be given a client id's secret. */
  | { readonly applications: readonly string[] }
  /** Applications of these tenants, for an API of several. Narrows another policy. */
  | { readonly tenants: readonly string[] }
  /** Applications that proved themselves by a certificate or federation, not by a secret. Narrows another policy. */
  | { readonly credential: 'certificate' }
  | { readonly allOf: readonly Policy[] }
  /** The first that lets the caller through; else the refusal of the first. */
  | { readonly anyOf: readonly Policy[] }
  /** By HTTP method, in capitals. HEAD is as GET unless named; a method that is not named is refused. */
  | { readonly byMethod: Readonly<Record<string, Policy>> };

/** A scope-token (RFC 6749 §3.3), since the challenge names it as one; Entra takes 120 characters. */
const isRole = (value: unknown): boolean =>
  typeof value === 'string' && /^[\x21\x23-\x5b\x5d-\x7e]{1,120}$/.test(value);

const isListOf = (value: unknown, isItem: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.length > 0 && value.every(isItem);

/** Whether the value of a policy's one member can be meant. */
const shapes: Readonly<Record<string, (value: unknown) => boolean>> = {
  appRole: isRole,
  anyAppRole: (value) => isListOf(value, isRole),
  allAppRoles: (value) => isListOf(value, isRole),
  applications: (value) => isListOf(value, isGuid),
  tenants: (value) => isListOf(value, isGuid),
  credential: (value) => value === 'certificate',
  allOf: (value) => isListOf(value, isWellFormed),
  anyOf: (value) => isListOf(value, isWellFormed),
  byMethod: (value) =>
    typeof value === 'object' &&
    value !== null &&
    isListOf(Object.entries(value), (entry) => {
      const [method, policy] = entry as [string, unknown];
      return /^[A-Z]+$/.test(method) && isWellFormed(policy);
    }),
};

function isWellFormed(policy: unknown): policy is Policy {
  if (typeof policy !== 'object' || policy === null) return false;
  const [name, ...others] = Object.keys(policy);
  if (name === undefined || others.length > 0 || !Object.hasOwn(shapes, name)) return false;
  return shapes[name]?.((policy as Record<string, unknown>)[name]) === true;
}

/** Whether each way through the policy passes a role or a named application. */
const namesCallers = (policy: Policy): boolean => {
  if ('allOf' in policy) return policy.allOf.some(namesCallers);
  if ('anyOf' in policy) return policy.anyOf.every(namesCallers);
  if ('byMethod' in policy) return Object.values(policy.byMethod).every(namesCallers);
  return !('tenants' in policy) && !('credential' in policy);
};

/** Checks a policy where it is written. @throws TypeError for one that is malformed or lets every application in */
export const assertPolicy = (policy: Policy): void => {
  if (!isWellFormed(policy)) throw new TypeError(`not a policy: ${JSON.stringify(policy)}`);
  if (!namesCallers(policy)) {
    throw new TypeError('a policy has to name app roles or applications: else every application passes');
  }
};

const same = (guid: string): ((other: string) => boolean) => {
  const lower = guid.toLowerCase();
  return (other) => other.toLowerCase() === lower;
};

const lacksRole = (required: readonly string[], { roles, applicationId }: Principal): AuthError =>
  new InsufficientRoleError(required, { logFields: { roles, azp: applicationId } });

const notAllowed = (reason: string, { applicationId, tenantId }: Principal): AuthError =>
  new CallerNotAllowedError(reason, { logFields: { azp: applicationId, tid: tenantId } });

/**
 * Why a caller may not use a resource in this way; undefined if it may. Pure; the policy has passed
 * {@link assertPolicy}.
 *
 * @param method - HTTP method in capitals
 */
export const refusalOf = (policy: Policy, principal: Principal, method: string): AuthError | undefined => {
  const { roles } = principal;
  if ('appRole' in policy) {
    return roles.includes(policy.appRole) ? undefined : lacksRole([policy.appRole], principal);
  }
  if ('byMethod' in policy) {
    const { byMethod } = policy;
    const name = method === 'HEAD' && !Object.hasOwn(byMethod, 'HEAD') ? 'GET' : method;
    const forMethod = Object.hasOwn(byMethod, name) ? byMethod[name] : undefined;
    return forMethod
      ? refusalOf(forMethod, principal, method)
      : notAllowed(`no policy for ${method.slice(0, 20)}`, principal);
  }
  if ('anyAppRole' in policy) {
    const { anyAppRole } = policy;
    return anyAppRole.some((role) => roles.includes(role)) ? undefined : lacksRole(anyAppRole, principal);
  }
  if ('allAppRoles' in policy) {
    const { allAppRoles } = policy;
    return allAppRoles.every((role) => roles.includes(role)) ? undefined : lacksRole(allAppRoles, principal);
  }
  if ('applications' in policy) {
    const isListed = policy.applications.some(same(principal.applicationId));
    return isListed ? undefined : notAllowed('the application is not on the list', principal);
  }
  if ('tenants' in policy) {
    const isListed = policy.tenants.some(same(principal.tenantId));
    return isListed ? undefined : notAllowed('the tenant is not on the list', principal);
  }
  if ('credential' in policy) {
    return principal.credential === policy.credential
      ? undefined
      : notAllowed('the application did not use a certificate', principal);
  }
  if ('allOf' in policy) {
    return policy.allOf.map((each) => refusalOf(each, principal, method)).find(Boolean);
  }
  const refusals = policy.anyOf.map((each) => refusalOf(each, principal, method));
  return refusals.includes(undefined) ? undefined : refusals[0];
};
