const federation =
  'Compare issuer, subject and audience above with the federated credential, letter by letter (countersign provision plan). A new one takes some minutes.';
const rotate = 'Make another one and put its value in place: countersign provision rotate-secret';
const clock = 'Synchronise the clock; for a federated token, check that its file is renewed.';
const wait = 'Wait: it passes by itself. Services with a token at hand do not notice.';
const fault = 'The request itself is wrong: use an up-to-date MSAL or shared-auth.';
const certificate =
  'Register the certificate that the caller uses on its application (countersign provision apply), or give the caller the one that is.';
const scope =
  'Set RECORDS_API_SCOPE to "api://<client id of the API>/.default": one API, ending in /.default.';
const tenant = 'Check AZURE_TENANT_ID, and that AZURE_AUTHORITY_HOST is that of your cloud.';

/** What to do about a refused token request, by AADSTS number. For people: Microsoft may change the numbers. */
export const aadstsRemedies: Readonly<Record<number, string>> = {
  28000: scope,
  50027: 'The assertion is malformed: check the certificate file, or who writes the federated token.',
  50049:
    'The authority does not know its host: use https://login.microsoftonline.com, or the origin of local-entra.',
  50196: 'The caller asks in a loop: keep the token until it ends.',
  53003:
    'A conditional access policy for workload identities blocks it: look at the sign-in logs of the service principal.',
  70003: fault,
  70011: scope,
  70021: federation,
  70025: 'Add a federated credential to the application: countersign provision apply',
  90002: tenant,
  90024: wait,
  90033: wait,
  90055: 'Wait; find out who does not cache tokens.',
  500011:
    'The API is not in this tenant: check API_CLIENT_ID, its App ID URI, and that it has a service principal (countersign provision apply).',
  500014: "Enable the API's service principal: countersign provision apply",
  501051: 'Grant the caller the app role of the API, with admin consent: countersign provision apply',
  501661:
    'Entra has to reach discovery document and keys of the issuer over public https: check them from outside.',
  700016:
    'Check AZURE_CLIENT_ID and AZURE_TENANT_ID: the application is not in this tenant (countersign provision apply).',
  700021: 'Issuer and subject of the assertion have to be AZURE_CLIENT_ID.',
  700022: scope,
  700023:
    'The audience of the assertion has to be the token endpoint of this tenant: check AZURE_TENANT_ID and AZURE_AUTHORITY_HOST.',
  700024: clock,
  700027: certificate,
  700038: 'Set AZURE_CLIENT_ID to "Application (client) ID" of the calling application.',
  700211: federation,
  700212: federation,
  700213: federation,
  700229: 'Only an app-only token can stand for an application here.',
  900023: 'Set AZURE_TENANT_ID to the GUID of the tenant.',
  900144: fault,
  900382: tenant,
  900432: tenant,
  900561: fault,
  901002: fault,
  1002012: scope,
  7000112: 'Enable its service principal (accountEnabled): countersign provision apply',
  7000215: rotate,
  7000216: 'Set AZURE_CLIENT_SECRET_FILE, AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE.',
  7000218: 'Set AZURE_CLIENT_SECRET_FILE, AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE.',
  7000222: rotate,
  7002131: federation,
  9001023: 'Set AZURE_TENANT_ID to the GUID of the tenant, not to "common" or "consumers".',
};
