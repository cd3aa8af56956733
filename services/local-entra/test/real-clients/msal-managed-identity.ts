import { ManagedIdentityApplication } from '@azure/msal-node';

// Prints the token that MSAL gets for this process's managed identity.
const { CLIENT_ID: userAssignedClientId = '', RESOURCE: resource = '' } = process.env;
const client = new ManagedIdentityApplication(
  userAssignedClientId === '' ? {} : { managedIdentityIdParams: { userAssignedClientId } },
);
const { accessToken } = await client.acquireToken({ resource });
process.stdout.write(accessToken);
