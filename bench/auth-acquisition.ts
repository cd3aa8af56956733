import { ConfidentialClientApplication, type INetworkModule } from '@azure/msal-node';
import { createTokenSource, type EntraNetwork } from '@countersign/shared-auth';
import type { BenchCase } from './interleave.ts';
import { clientId, origin, tenantId } from './auth-tokens.ts';

const answer = { token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599 };
let serial = 0;
const nextAnswer = () => ({ ...answer, access_token: `${serial++}`.padEnd(1400, 'x') });

const network: EntraNetwork = {
  request: async () => ({ status: 200, headers: {}, body: JSON.stringify(nextAnswer()) }),
  close: () => {},
};

const networkClient: INetworkModule = {
  sendGetRequestAsync: async () => ({ status: 200, headers: {}, body: {} as never }),
  sendPostRequestAsync: async () => ({ status: 200, headers: {}, body: nextAnswer() as never }),
};

/** Warm acquisition for `count` resources, ours and MSAL's own, each asked for in turn. */
export const acquisitionCases = async (count: number): Promise<BenchCase[]> => {
  const scopes = Array.from({ length: count }, (_, index) => `api://resource-${index}/.default`);
  const credential = { clientSecret: 'secret' };
  const source = createTokenSource({ authorityHost: origin, tenantId, clientId, credential, network });
  const msal = new ConfidentialClientApplication({
    auth: { clientId, authority: `${origin}/${tenantId}`, clientSecret: 'secret' },
    system: { networkClient },
  });
  for (const scope of scopes) {
    await source.getToken({ scope });
    await msal.acquireTokenByClientCredential({ scopes: [scope] });
  }
  let turn = 0;
  const nextScope = (): string => scopes[turn++ % count] as string;
  return [
    { name: `token ours, ${count}`, operations: 2000, run: () => source.getToken({ scope: nextScope() }) },
    {
      name: `token msal-node, ${count}`,
      operations: Math.max(20, Math.floor(1000 / count)),
      run: () => msal.acquireTokenByClientCredential({ scopes: [nextScope()] }),
    },
  ];
};
