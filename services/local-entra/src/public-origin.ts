import { ConfigError } from '@countersign/service-kit';

/** Hosts that are Microsoft's, with everything below them: an emulator must never say that it is one of these. */
const microsoftDomains = [
  'microsoftonline.com',
  'microsoftonline.us',
  'microsoftonline.de',
  'microsoftonline-p.com',
  'microsoft.com',
  'microsoft.us',
  'windows.net',
  'azure.com',
  'azure.us',
  'azure.cn',
  'azure.net',
  'chinacloudapi.cn',
  'partner.microsoftonline.cn',
  'sovcloud-identity.fr',
  'sovcloud-identity.de',
  'sovcloud-identity.sg',
  'live.com',
  'office.com',
];

/**
 * Checks the address under which clients know local-entra.
 *
 * @returns scheme, host and port, without a slash at the end.
 * @throws {ConfigError} unless it is https:, has no path, and is not Microsoft's.
 */
export const publicOrigin = (address: string): string => {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.protocol !== 'https:') {
    throw new ConfigError([
      `ORIGIN must start with https://, because clients refuse anything else, not "${address}"`,
    ]);
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw new ConfigError([`ORIGIN must be scheme, host and port only, not "${address}"`]);
  }
  const host = url.hostname.replace(/\.$/, '');
  if (microsoftDomains.some((domain) => host === domain || host.endsWith(`.${domain}`))) {
    throw new ConfigError([
      `ORIGIN must not be a host of Microsoft: ${host} would be taken for the real one`,
    ]);
  }
  return url.origin;
};
