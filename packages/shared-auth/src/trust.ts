import { authorityOrigin } from './authority.ts';
import { isGuid, type ClaimRules, type TokenVersion } from './claims.ts';
import { v1IssuerOf } from './clouds.ts';

/** Whose tokens are taken, and for whom they have to be. */
export interface TrustOptions {
  /** Origin of the authority: one of {@link clouds}, or any other https origin. */
  authorityHost: URL | string;
  /** GUID of the one tenant whose applications may call. Either this or `tenants`. */
  tenantId?: string;
  /** GUIDs of several tenants; or `'any'`, which makes sense only with a policy that names applications. */
  tenants?: readonly string[] | 'any';
  /** Client id (GUID) of the API, the audience of its v2 tokens. */
  clientId: string;
  /** App ID URIs of the API, the audiences of its v1 tokens. Default `api://<clientId>`. */
  appIdUris?: readonly string[];
  /**
   * Token formats to take. Which one Entra issues is set on the API (`requestedAccessTokenVersion`), not by the caller.
   * Default `['2.0']`.
   */
  versions?: readonly TokenVersion[];
  /** Issuer of v1 tokens, with `{tenantid}`. Default by cloud, such as `https://sts.windows.net/{tenantid}/`. */
  v1Issuer?: string;
  /** Whether the API has signing keys of its own (claims mapping), published under `?appid=`. Default false. */
  ownSigningKeys?: boolean;
  /** Tolerated clock difference in seconds, 0 to 300. Default 300, as in .NET. */
  skewSeconds?: number;
}

export interface Trust {
  readonly rules: ClaimRules;
  /** Where the keys of each token format are. */
  readonly keyUrls: Readonly<Partial<Record<TokenVersion, string>>>;
}

const assertGuid = (name: string, value: unknown): void => {
  if (!isGuid(value)) throw new TypeError(`${name} must be a GUID`);
};

const tenantsOf = ({ tenantId, tenants }: TrustOptions): ReadonlySet<string> | 'any' => {
  if ((tenantId === undefined) === (tenants === undefined)) {
    throw new TypeError('give either tenantId or tenants');
  }
  if (tenants === 'any') return 'any';
  const list = tenants ?? [tenantId ?? ''];
  if (list.length === 0) throw new TypeError('tenants must not be empty');
  for (const tenant of list) assertGuid('tenantId', tenant);
  return new Set(list.map((tenant) => tenant.toLowerCase()));
};

/** Entra puts a URI into `aud` as the caller wrote it, so the slash at the end comes and goes. */
const withAndWithoutSlash = (uri: string): string[] => {
  const bare = uri.replace(/\/$/, '');
  return [bare, `${bare}/`];
};

const fill = (template: string, tenantId: string): string => template.replaceAll('{tenantid}', tenantId);

/** Checks the options once, so that no request finds out. @throws TypeError for options that cannot be meant */
export const createTrust = (options: TrustOptions): Trust => {
  const { clientId, versions = ['2.0'], skewSeconds = 300, ownSigningKeys = false } = options;
  assertGuid('clientId', clientId);
  if (!(skewSeconds >= 0 && skewSeconds <= 300)) throw new TypeError('skewSeconds must be 0 to 300');
  if (versions.length === 0 || !versions.every((version) => version === '1.0' || version === '2.0')) {
    throw new TypeError("versions must hold '2.0', '1.0' or both");
  }
  const origin = authorityOrigin(options.authorityHost);
  const tenants = tenantsOf(options);
  const v1Issuer = options.v1Issuer ?? v1IssuerOf(origin);
  const audience = clientId.toLowerCase();
  const { appIdUris = [`api://${audience}`] } = options;
  const [onlyTenant] = tenants === 'any' || tenants.size > 1 ? [] : tenants;
  const base = `${origin}/${onlyTenant ?? 'common'}/discovery`;
  const query = ownSigningKeys ? `?appid=${audience}` : '';
  return {
    rules: {
      versions: new Set(versions),
      tenants,
      audiences: {
        '1.0': new Set([audience, ...appIdUris.flatMap(withAndWithoutSlash)]),
        '2.0': new Set([audience]),
      },
      issuerOf: (version, tenantId) =>
        version === '2.0' ? `${origin}/${tenantId}/v2.0` : fill(v1Issuer, tenantId),
      skewSeconds,
    },
    keyUrls: {
      ...(versions.includes('2.0') && { '2.0': `${base}/v2.0/keys${query}` }),
      ...(versions.includes('1.0') && { '1.0': `${base}/keys${query}` }),
    },
  };
};
