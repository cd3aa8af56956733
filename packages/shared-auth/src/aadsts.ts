/**
 * What an AADSTS number means for an application that asks for its own token, and what to do. For people only:
 * Microsoft may change the numbers, so no code may branch on them.
 */
const explanations: Readonly<Record<number, string>> = {
  50027: 'The client assertion is malformed: check how it is signed and encoded.',
  53003: 'A conditional access policy for workload identities blocks this application.',
  70011: 'The scope is malformed: use "<App ID URI of the API>/.default".',
  70021:
    'No federated credential of the application matches the issuer, subject and audience of the assertion.',
  70025: 'The application has no federated credential: add one for this workload.',
  90002: 'The tenant was not found: check the tenant id and the cloud.',
  90024: 'Entra reports a transient fault: it should pass by itself.',
  90033: 'Entra reports that it is unavailable for the moment.',
  90055: 'The tenant sends too many requests: find out who does not cache tokens.',
  500011: 'The API was not found in the tenant: check the App ID URI and that it has a service principal.',
  501051: 'The application has not been assigned an app role of the API, and the API demands an assignment.',
  700016: 'The application was not found in the tenant: check the client id and the tenant.',
  700021: 'The client assertion names another application than client_id.',
  700023: 'The audience of the client assertion is not this tenant.',
  700024: 'The client assertion is outside its validity: check the clock, or re-read the rotated token file.',
  700027: 'The certificate of the client assertion is unknown or expired: register it on the application.',
  700038: 'The client id is not a valid application id.',
  700211: 'No federated credential of the application has the issuer of the assertion.',
  700212: 'No federated credential of the application has the audience of the assertion.',
  700213: 'No federated credential of the application has the subject of the assertion.',
  900023: 'The tenant is neither a GUID nor a domain name: check the configuration.',
  900144: 'The token request lacks a parameter.',
  1002012: 'The scope of an application must be "<App ID URI of the API>/.default".',
  1000502: 'The certificate of the client assertion has expired: rotate it.',
  7000112: 'The application is disabled in the tenant.',
  7000214: 'The certificate of the client assertion has been revoked: rotate it.',
  7000215:
    'The client secret is wrong: use its value (not its id), and check that it belongs to this application.',
  7000216: 'The token request carried no credential.',
  7000222: 'The client secret has expired: rotate it.',
  7000274: 'The client assertion does not match what is registered on the application.',
  7000277: 'The client assertion does not match what is registered on the application.',
  9001023: 'Applications need a concrete tenant, not "common" or "consumers".',
};

/** A plain sentence for a refused token request: what is wrong and what to do. */
export const explainAadsts = (aadsts: number | undefined, oauthError: string): string =>
  (aadsts === undefined ? undefined : explanations[aadsts]) ??
  `Entra refused the token request (${oauthError}${aadsts === undefined ? '' : `, AADSTS${aadsts}`}).`;
