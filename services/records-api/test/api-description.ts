import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

interface Media {
  schema: { $ref: string };
}

interface Parameter {
  name: string;
  in: 'query' | 'header' | 'path';
  required?: boolean;
  schema: Record<string, unknown>;
}

export interface Operation {
  operationId: string;
  method: string;
  path: string;
  parameters: Parameter[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { content?: Record<string, Media> }>;
}

export interface ApiDescription {
  document: Record<string, unknown>;
  operationIds: string[];
  operation: (operationId: string) => Operation;
  /** Properties of the component that a reference names. */
  properties: (media: Media) => Record<string, unknown>;
  /** Throws unless status, media type and body of an answer are described. */
  assertDescribed: (operationId: string, response: Response) => Promise<void>;
}

type Paths = Record<string, Record<string, Operation> & { parameters?: Parameter[] }>;

/** An OpenAPI document, to hold answers against. */
export const describeApi = (json: unknown): ApiDescription => {
  const document = json as { paths: Paths; components: { schemas: Record<string, object> } };
  const ajv = new Ajv2020({ strict: true, allErrors: true, strictTypes: false });
  addFormats.default(ajv);
  const components = Object.entries(document.components.schemas);
  const validators = new Map<string, ValidateFunction>(
    components.map(([name, schema]) => [`#/components/schemas/${name}`, ajv.compile(schema)]),
  );
  const operations = new Map(
    Object.entries(document.paths).flatMap(([path, { parameters: common = [], ...methods }]) =>
      Object.entries(methods).map(([method, described]) => [
        described.operationId,
        {
          ...described,
          method: method.toUpperCase(),
          path,
          parameters: [...common, ...(described.parameters ?? [])],
        },
      ]),
    ),
  );
  const operation = (operationId: string): Operation => {
    const found = operations.get(operationId);
    if (!found) throw new Error(`${operationId} is not described`);
    return found;
  };

  return {
    document: json as Record<string, unknown>,
    operationIds: [...operations.keys()],
    operation,
    properties: ({ schema }) => {
      const [, component]: [string?, { properties?: Record<string, unknown> }?] =
        components.find(([name]) => schema.$ref.endsWith(`/${name}`)) ?? [];
      return component?.properties ?? {};
    },
    async assertDescribed(operationId, response) {
      const fail = (what: string): never => {
        throw new Error(`${operationId}, ${response.status}: ${what}`);
      };
      const described = operation(operationId).responses[response.status];
      if (!described) return fail('the status is not described');
      const text = await response.text();
      if (!described.content) {
        if (text !== '') fail('there is a body');
        return undefined;
      }
      const mediaType = response.headers.get('content-type')?.split(';', 1)[0] ?? '';
      const media = described.content[mediaType];
      if (!media) return fail(`${mediaType} is not described`);
      const validate = validators.get(media.schema.$ref) as ValidateFunction;
      const documents = mediaType === 'application/x-ndjson' ? text.split('\n').slice(0, -1) : [text];
      for (const one of documents)
        if (!validate(JSON.parse(one))) fail(`${ajv.errorsText(validate.errors)} in ${one.slice(0, 300)}`);
      return undefined;
    },
  };
};
