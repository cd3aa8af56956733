import type { Directory } from '../directory/directory.ts';
import type { Application } from '../directory/entities.ts';
import { badRequest, notFound } from './graph-error.ts';
import type { GraphKey } from './graph-path.ts';
import { keyAt, type GraphRequest } from './graph-request.ts';

const byUniqueName = (directory: Directory, tenantId: string, name: string): Application | undefined =>
  [...directory.applications(tenantId)].find(({ uniqueName }) => uniqueName === name);

/** An application of the caller's tenant by id, `appId` or `uniqueName`. */
export const lookUpApplication = (
  directory: Directory,
  tenantId: string,
  { by, value }: GraphKey,
): Application | undefined => {
  switch (by) {
    case 'id':
      return directory.applicationById(tenantId, value.toLowerCase());
    case 'appId': {
      const application = directory.applicationByAppId(value.toLowerCase());
      return application?.tenantId === tenantId ? application : undefined;
    }
    case 'uniqueName':
      return byUniqueName(directory, tenantId, value);
    default:
      throw badRequest(`The key '${by}' is not one of an application: id, appId and uniqueName are.`);
  }
};

/** The application that the path names. @throws {GraphError} 404 */
export const findApplication = (directory: Directory, request: GraphRequest): Application => {
  const key = keyAt(request, 0);
  const application = lookUpApplication(directory, request.tenant.id, key);
  if (!application) throw notFound(key.value);
  return application;
};
