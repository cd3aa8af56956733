/**
 * What local-entra's packaged seed holds, by the names that the seed gives. The ids are made up and fixed, so that
 * configuration and documents can name them.
 */
export const localTenantId = '10ca10ca-0000-4000-8000-10ca10ca10ca';

/** Client ids of the seeded applications. */
export const localApplications = {
  /** records-api. */
  api1: 'a9100001-0000-4000-8000-000000000001',
  /** caller-api: holds the roles of records-api. */
  api2: 'a9100002-0000-4000-8000-000000000002',
  /** Valid, and without any role. */
  api3: 'a9100003-0000-4000-8000-000000000003',
  /** May read, not write. */
  api4: 'a9100004-0000-4000-8000-000000000004',
} as const;

/** The scope that asks for a token for records-api. */
export const recordsApiScope = `api://${localApplications.api1}/.default`;
