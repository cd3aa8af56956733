/** A refusal in Graph's words. */
export class GraphError extends Error {
  override readonly name = 'GraphError';
  readonly status: number;
  /** `error.code`, such as `Request_BadRequest`. */
  readonly code: string;
  readonly details: readonly object[] | undefined;

  constructor(status: number, code: string, message: string, details?: readonly object[]) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

export const badRequest = (message: string, details?: readonly object[]): GraphError =>
  new GraphError(400, 'Request_BadRequest', message, details);

export const notFound = (name: string): GraphError =>
  new GraphError(
    404,
    'Request_ResourceNotFound',
    `Resource '${name}' does not exist or one of its queried reference-property objects are not present.`,
  );

export const forbidden = (): GraphError =>
  new GraphError(403, 'Authorization_RequestDenied', 'Insufficient privileges to complete the operation.');

export const unauthorized = (message: string): GraphError =>
  new GraphError(401, 'InvalidAuthenticationToken', message);

export const conflict = (property: string): GraphError =>
  badRequest(`Another object with the same value for property ${property} already exists.`, [
    {
      code: 'ObjectConflict',
      message: `Another object with the same value for property ${property} already exists.`,
      target: property,
    },
  ]);

export const unsupportedQuery = (message: string): GraphError =>
  new GraphError(400, 'Request_UnsupportedQuery', message);
