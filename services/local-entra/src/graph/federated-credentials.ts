import { randomUUID } from 'node:crypto';
import type { EntraContext } from '../entra-context.ts';
import type { Application, FederatedIdentityCredential } from '../directory/entities.ts';
import { federatedCredentialBody } from './application-body.ts';
import { federatedCredentialResource } from './application-resource.ts';
import { findApplication } from './find-application.ts';
import { badRequest, conflict, notFound, type GraphError } from './graph-error.ts';
import { keyAt, type GraphAnswer, type GraphRequest } from './graph-request.ts';
import { federatedCredentialProperties } from './graph-properties.ts';
import { parseBody } from './parse-body.ts';
import { requireRead, requireWrite } from './permissions.ts';
import { listPage, select } from './query-options.ts';
import { withPathName } from './with-path-name.ts';

const maxPerApplication = 20;

/** By id or by name: Graph takes either. */
const lookUp = (application: Application, request: GraphRequest): FederatedIdentityCredential | undefined => {
  const { by, value } = keyAt(request, 1);
  return application.federatedIdentityCredentials.find(
    ({ id, name }) => name === value || (by === 'id' && id === value.toLowerCase()),
  );
};

const find = (application: Application, request: GraphRequest): FederatedIdentityCredential => {
  const credential = lookUp(application, request);
  if (!credential) throw notFound(keyAt(request, 1).value);
  return credential;
};

const context = (request: GraphRequest, application: Application): string =>
  `${request.contextUrl}#applications('${application.id}')/federatedIdentityCredentials`;

const checkUnique = (application: Application, candidate: FederatedIdentityCredential): void => {
  for (const other of application.federatedIdentityCredentials) {
    if (other.id === candidate.id) continue;
    if (other.name === candidate.name) throw conflict('name');
    if (other.issuer === candidate.issuer && other.subject === candidate.subject) {
      throw badRequest(
        'FederatedIdentityCredential with the same issuer and subject already exists on the application.',
      );
    }
  }
};

const nameIsFixed = (): GraphError =>
  badRequest("Property 'name' of a federated identity credential cannot be changed.");

const create = (
  entra: EntraContext,
  request: GraphRequest,
  application: Application,
  nameFromPath?: string,
): GraphAnswer => {
  const body = withPathName(request.body, 'name', nameFromPath);
  const { known } = parseBody(federatedCredentialBody, body);
  const { name, issuer, subject, audiences, description = null } = known;
  if (name === undefined || issuer === undefined || subject === undefined || audiences === undefined) {
    throw badRequest('A federated identity credential needs name, issuer, subject and audiences.');
  }
  if (name !== (nameFromPath ?? name)) throw nameIsFixed();
  if (application.federatedIdentityCredentials.length >= maxPerApplication) {
    throw badRequest(`An application can have at most ${maxPerApplication} federated identity credentials.`);
  }
  const visibleFromMs = entra.propagation.visibleFromMs('federatedCredentials');
  const credential = { id: randomUUID(), name, issuer, subject, audiences, description, visibleFromMs };
  checkUnique(application, credential);
  application.federatedIdentityCredentials = [...application.federatedIdentityCredentials, credential];
  return {
    status: 201,
    body: {
      '@odata.context': `${context(request, application)}/$entity`,
      ...federatedCredentialResource(credential),
    },
  };
};

export const listFederatedCredentials = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  requireRead(request);
  const application = findApplication(entra.directory, request);
  const objects = application.federatedIdentityCredentials.map(federatedCredentialResource);
  return {
    status: 200,
    body: {
      '@odata.context': context(request, application),
      ...listPage(objects, request, federatedCredentialProperties),
    },
  };
};

export const addFederatedCredential = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  const application = findApplication(entra.directory, request);
  requireWrite(request, application);
  return create(entra, request, application);
};

export const getFederatedCredential = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  requireRead(request);
  const application = findApplication(entra.directory, request);
  const object = federatedCredentialResource(find(application, request));
  return {
    status: 200,
    body: {
      '@odata.context': `${context(request, application)}/$entity`,
      ...select(object, request.query, federatedCredentialProperties),
    },
  };
};

/** PATCH; by name with `Prefer: create-if-missing` also creates. */
export const patchFederatedCredential = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  const application = findApplication(entra.directory, request);
  requireWrite(request, application);
  const key = keyAt(request, 1);
  const credential = lookUp(application, request);
  if (!credential && key.by === 'name' && request.createIfMissing) {
    return create(entra, request, application, key.value);
  }
  if (!credential) throw notFound(key.value);
  const { known } = parseBody(federatedCredentialBody, request.body);
  if (known.name !== undefined && known.name !== credential.name) {
    throw nameIsFixed();
  }
  const {
    issuer = credential.issuer,
    subject = credential.subject,
    audiences = credential.audiences,
  } = known;
  const description = known.description === undefined ? credential.description : known.description;
  const visibleFromMs = entra.propagation.visibleFromMs('federatedCredentials');
  const changed = { ...credential, issuer, subject, audiences, description, visibleFromMs };
  checkUnique(application, changed);
  Object.assign(credential, changed);
  return { status: 204 };
};

export const deleteFederatedCredential = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  const application = findApplication(entra.directory, request);
  requireWrite(request, application);
  const credential = find(application, request);
  application.federatedIdentityCredentials = application.federatedIdentityCredentials.filter(
    (other) => other !== credential,
  );
  return { status: 204 };
};
