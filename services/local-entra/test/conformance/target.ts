/** An Entra to be asked: local-entra, or a live tenant. */
export interface Target {
  tenant: string;
  clientId: string;
  secret: string;
  /** App ID URI of an API of the tenant. */
  api: string;
  send: (path: string, request?: TargetRequest) => Promise<TargetAnswer>;
}

export interface TargetRequest {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

export interface TargetAnswer {
  status: number;
  body: Record<string, unknown>;
}

/** Asks the version 2 token endpoint as the target's client, with changes. An empty value leaves a parameter out. */
export const ask = (
  target: Target,
  changes: Record<string, string> = {},
  { tenant = target.tenant, version = '/v2.0', extra = '' } = {},
): Promise<TargetAnswer> => {
  const form = {
    grant_type: 'client_credentials',
    client_id: target.clientId,
    client_secret: target.secret,
    scope: `${target.api}/.default`,
    ...changes,
  };
  const parameters = Object.entries(form).filter(([, value]) => value !== '');
  return target.send(`/${tenant}/oauth2${version}/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: `${new URLSearchParams(parameters).toString()}${extra}`,
  });
};

/** Asks with an assertion instead of the secret. */
export const askWithAssertion = (
  target: Target,
  assertion: string,
  changes: Record<string, string> = {},
): Promise<TargetAnswer> =>
  ask(target, {
    client_secret: '',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
    ...changes,
  });
