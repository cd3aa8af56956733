/** Authority hosts of Microsoft's clouds (national-cloud endpoints). Any other https origin works as well. */
export const clouds = {
  public: 'https://login.microsoftonline.com',
  usGovernment: 'https://login.microsoftonline.us',
  china: 'https://login.partner.microsoftonline.cn',
} as const;

const v1Issuers: Readonly<Record<string, string>> = {
  [clouds.public]: 'https://sts.windows.net/{tenantid}/',
  [clouds.usGovernment]: 'https://sts.windows.net/{tenantid}/',
  [clouds.china]: 'https://sts.chinacloudapi.cn/{tenantid}/',
};

/** Template of the issuer in v1 tokens. It is another host than the authority, but for authorities of one's own. */
export const v1IssuerOf = (origin: string): string => v1Issuers[origin] ?? `${origin}/{tenantid}/`;
