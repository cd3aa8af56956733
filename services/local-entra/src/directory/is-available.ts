import type { Application } from './entities.ts';

/** Whether a tenant may use an application: its own, or one that is for others, too. */
export const isAvailableIn = (tenantId: string, application: Application): boolean =>
  application.tenantId === tenantId || application.signInAudience !== 'AzureADMyOrg';
