import { ManagedIdentityCredential } from '@azure/identity';

// Prints the token that @azure/identity gets for this process's managed identity.
const { CLIENT_ID: clientId = '', RESOURCE: resource = '' } = process.env;
const credential =
  clientId === '' ? new ManagedIdentityCredential() : new ManagedIdentityCredential({ clientId });
const { token } = await credential.getToken(`${resource}/.default`);
process.stdout.write(token);
