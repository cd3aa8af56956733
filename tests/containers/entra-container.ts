import { type LocalApplication, localApplications, localTenantId } from '@countersign/cli';
import { GenericContainer, type StartedNetwork, type StartedTestContainer, Wait } from 'testcontainers';
import { fetch, type RequestInit } from 'undici';

/** A token for records-api, from the local-entra at `origin`. */
export const takeTokenFrom = async (
  origin: string,
  application: LocalApplication,
  secret: string,
  ask: (url: string, init: RequestInit) => ReturnType<typeof fetch> = fetch,
): Promise<string> => {
  const response = await ask(`${origin}/${localTenantId}/oauth2/v2.0/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: localApplications[application],
      client_secret: secret,
      scope: `api://${localApplications.api1}/.default`,
    }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
};

export interface EntraContainer extends AsyncDisposable {
  container: StartedTestContainer;
  /** The certificate of its CA. */
  ca: string;
  secret: (application: LocalApplication) => Promise<string>;
}

/** local-entra by itself, that calls itself `https://<host>:8443`. @param network where it has that name */
export const startEntraContainer = async (
  host: string,
  network?: StartedNetwork,
): Promise<EntraContainer> => {
  const described = new GenericContainer('countersign/local-entra')
    .withExposedPorts(8443)
    .withEnvironment({
      PORT: '8443',
      ORIGIN: `https://${host}:8443`,
      DATA_FOLDER: '/data',
      STATE_FILE: '/data/directory.json',
      CA_FILE: '/public/ca.pem',
      SECRETS_FOLDER: '/secrets',
      HEALTHCHECK_URL: 'https://localhost:8443/readyz',
      HEALTHCHECK_CA_FILE: '/public/ca.pem',
    })
    .withWaitStrategy(Wait.forHealthCheck());
  if (network) described.withNetwork(network).withNetworkAliases(host);
  const container = await described.start();
  const read = async (file: string): Promise<string> => (await container.exec(['cat', file])).stdout.trim();
  return {
    container,
    ca: await read('/public/ca.pem'),
    secret: (application) => read(`/secrets/${application}`),
    [Symbol.asyncDispose]: () => container[Symbol.asyncDispose](),
  };
};
