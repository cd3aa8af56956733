import { randomUUID } from 'node:crypto';
import type { EntraContext } from '../entra-context.ts';
import { generateSecret, hashSecret } from '../directory/client-secret.ts';
import type { PasswordCredential } from '../directory/entities.ts';
import { addPasswordBody, removePasswordBody } from './application-body.ts';
import { passwordResource } from './application-resource.ts';
import { findApplication } from './find-application.ts';
import { badRequest } from './graph-error.ts';
import type { GraphAnswer, GraphRequest } from './graph-request.ts';
import { parseBody } from './parse-body.ts';
import { requireWrite } from './permissions.ts';

/** What a secret lives that nobody gave an end: two years. */
const defaultLifetimeMs = 730 * 86_400_000;

/** Makes a secret. Its text is in this answer and nowhere else. */
export const addPassword = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  const application = findApplication(entra.directory, request);
  requireWrite(request, application);
  const { known } = parseBody(addPasswordBody, request.body ?? {});
  const { displayName, startDateTime, endDateTime } = known.passwordCredential ?? {};
  const startMs = startDateTime == null ? entra.clock() : Date.parse(startDateTime);
  const endMs = endDateTime == null ? startMs + defaultLifetimeMs : Date.parse(endDateTime);
  if (endMs <= startMs) throw badRequest('The end of a password credential must be later than its start.');
  const keyId = randomUUID();
  const secretText = generateSecret();
  const credential: PasswordCredential = {
    keyId,
    displayName: displayName ?? null,
    hint: secretText.slice(0, 3),
    hash: hashSecret(keyId, secretText),
    startMs,
    endMs,
    visibleFromMs: entra.propagation.visibleFromMs('secrets'),
  };
  application.passwordCredentials = [...application.passwordCredentials, credential];
  return {
    status: 200,
    body: {
      '@odata.context': `${request.contextUrl}#microsoft.graph.passwordCredential`,
      ...passwordResource(credential),
      secretText,
    },
  };
};

export const removePassword = (entra: EntraContext, request: GraphRequest): GraphAnswer => {
  const application = findApplication(entra.directory, request);
  requireWrite(request, application);
  const { known } = parseBody(removePasswordBody, request.body);
  const rest = application.passwordCredentials.filter(({ keyId }) => keyId !== known.keyId);
  if (rest.length === application.passwordCredentials.length) {
    throw badRequest('No password credential found with keyId.');
  }
  application.passwordCredentials = rest;
  return { status: 204 };
};
