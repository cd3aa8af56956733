import { Router } from '@koa/router';
import type { ServiceState } from '@countersign/service-kit';
import { z } from 'zod';
import { exportParameters, historyParameters, listParameters } from './query.ts';
import {
  changeSchema,
  recordFields,
  recordLine,
  recordPatch,
  recordReplacement,
  recordSchema,
} from './record.ts';

type Json = Readonly<Record<string, unknown>>;

const problemSchema = z
  .looseObject({
    title: z.string(),
    status: z.int(),
    code: z.string().meta({ description: 'Stable, for programs.' }),
    detail: z.string().optional(),
    requestId: z.string().optional(),
    errors: z
      .array(
        z.strictObject({
          pointer: z
            .string()
            .meta({ description: 'A JSON pointer into the body, or a parameter or header.' }),
          detail: z.string(),
          line: z.int().optional().meta({ description: 'Of an import, from 1.' }),
        }),
      )
      .optional(),
  })
  .meta({ description: 'A problem document (RFC 9457).' });

const checkpointSchema = z.strictObject({ cursor: z.string() });

const components = {
  Record: recordSchema,
  Records: z.array(recordSchema),
  RecordFields: recordFields,
  RecordReplacement: recordReplacement,
  RecordPatch: recordPatch,
  ImportLine: recordLine,
  ExportLine: z.union([recordSchema, checkpointSchema]),
  History: z.array(changeSchema),
  Imported: z.strictObject({ imported: z.int().min(0) }),
  Problem: problemSchema,
};

const schemas = (): Json =>
  Object.fromEntries(Object.entries(components).map(([name, schema]) => [name, toSchema(schema)]));

/** As OpenAPI 3.1 takes it: JSON Schema 2020-12, without the line that says so. */
const toSchema = (schema: z.ZodType): Json => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' }) as Json;
  return rest;
};

const schemaRef = (name: keyof typeof components): Json => ({ $ref: `#/components/schemas/${name}` });

const content = (mediaType: string, name: keyof typeof components): Json => ({
  content: { [mediaType]: { schema: schemaRef(name) } },
});

const queryParameters = (schema: z.ZodObject): Json[] => {
  const { properties } = toSchema(schema) as { properties: Record<string, Json> };
  return Object.entries(properties).map(([name, { description, ...property }]) => ({
    name,
    in: 'query',
    ...(description !== undefined && { description }),
    schema: property,
  }));
};

const header = (name: string, description: string, isRequired: boolean): Json => ({
  name,
  in: 'header',
  description,
  required: isRequired,
  schema: { type: 'string' },
});

const ifMatch = header('If-Match', 'The ETag of the record as it was read, or `*` for any.', true);
const ifNoneMatch = header('If-None-Match', 'The ETag of the record as it is known.', false);
const idempotencyKey: Json = {
  ...header('Idempotency-Key', 'Makes the write happen once within 24 hours.', false),
  schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
};
const id: Json = { name: 'id', in: 'path', required: true, schema: { type: 'integer', minimum: 1 } };

const text = { type: 'string' };
const recordHeaders: Json = { ETag: { description: 'The version of the record.', schema: text } };
const nextPage: Json = {
  Link: { description: 'The next page, `rel="next"`; none on the last.', schema: text },
};

const reasons: Readonly<Record<number, string>> = {
  400: 'The request cannot be read',
  401: 'No valid token',
  403: 'The token lacks the role',
  404: 'There is no such record',
  408: 'Nothing of the body arrived for too long',
  412: 'The record has changed',
  413: 'The body is too long',
  415: 'The body is of another type, or compressed',
  422: 'The body is no record, or the Idempotency-Key was used for another one',
  428: 'If-Match is missing',
  503: 'The records, or the keys to check tokens with, cannot be had now; see Retry-After',
};

const refusals = (...statuses: number[]): Json =>
  Object.fromEntries(
    [401, 403, 503, ...statuses].map((status) => [
      status,
      { description: reasons[status], ...content('application/problem+json', 'Problem') },
    ]),
  );

const oneRecord = (description: string, headers: Json = {}): Json => ({
  description,
  headers: { ...recordHeaders, ...headers },
  ...content('application/json', 'Record'),
});

const body = (mediaType: string, name: keyof typeof components): Json => ({
  required: true,
  ...content(mediaType, name),
});

const operation = (
  operationId: string,
  summary: string,
  rest: { parameters?: Json[]; requestBody?: Json; responses: Json },
): Json => ({ operationId, summary, tags: ['records'], ...rest });

const paths = (): Json => ({
  '/api/records': {
    get: operation('listRecords', 'A page of records', {
      parameters: queryParameters(listParameters),
      responses: {
        200: { description: 'The records', headers: nextPage, ...content('application/json', 'Records') },
        ...refusals(400),
      },
    }),
    post: operation('createRecord', 'Create a record', {
      parameters: [idempotencyKey],
      requestBody: body('application/json', 'RecordFields'),
      responses: {
        201: oneRecord('The record', {
          Location: { description: 'Its path.', schema: text },
          'Idempotency-Replayed': {
            description: '`true` for the answer of an earlier request.',
            schema: text,
          },
        }),
        ...refusals(400, 413, 415, 422),
      },
    }),
  },
  '/api/records/export': {
    get: operation('exportRecords', 'All records, one a line', {
      parameters: queryParameters(exportParameters),
      responses: {
        200: { description: 'The records as NDJSON', ...content('application/x-ndjson', 'ExportLine') },
        ...refusals(400),
      },
    }),
  },
  '/api/records/import': {
    post: operation('importRecords', 'Create a record for each line, or none', {
      parameters: [idempotencyKey],
      requestBody: body('application/x-ndjson', 'ImportLine'),
      responses: {
        200: { description: 'How many', ...content('application/json', 'Imported') },
        ...refusals(400, 408, 413, 415, 422),
      },
    }),
  },
  '/api/records/{id}': {
    parameters: [id],
    get: operation('getRecord', 'One record', {
      parameters: [ifNoneMatch],
      responses: {
        200: oneRecord('The record'),
        304: { description: 'The record is as it is known', headers: recordHeaders },
        ...refusals(400, 404),
      },
    }),
    put: operation('replaceRecord', 'Replace a record', {
      parameters: [ifMatch],
      requestBody: body('application/json', 'RecordReplacement'),
      responses: { 200: oneRecord('The record'), ...refusals(400, 404, 412, 413, 415, 422, 428) },
    }),
    patch: operation('changeRecord', 'Change some members of a record', {
      parameters: [ifMatch],
      requestBody: body('application/merge-patch+json', 'RecordPatch'),
      responses: { 200: oneRecord('The record'), ...refusals(400, 404, 412, 413, 415, 422, 428) },
    }),
    delete: operation('deleteRecord', 'Delete a record', {
      parameters: [ifMatch],
      responses: { 204: { description: 'It is gone; its history is not' }, ...refusals(400, 404, 412, 428) },
    }),
  },
  '/api/records/{id}/history': {
    parameters: [id],
    get: operation('getHistory', 'Who wrote a record, also one that is deleted', {
      parameters: queryParameters(historyParameters),
      responses: {
        200: { description: 'The writes', headers: nextPage, ...content('application/json', 'History') },
        ...refusals(400, 404),
      },
    }),
  },
});

/** The API as OpenAPI 3.1, made from the schemas that check requests. */
export const openApiDocument = (version: string): Json => ({
  openapi: '3.1.0',
  info: {
    title: 'records-api',
    version,
    description:
      'Records, for applications with an app role. Reads take access_as_application_API1, writes write_as_application_API1.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [{ url: '/' }],
  tags: [{ name: 'records', description: 'Records and their history' }],
  security: [{ entra: [] }],
  paths: paths(),
  components: {
    schemas: schemas(),
    securitySchemes: {
      entra: {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description: 'An app-only token of Entra ID.',
      },
    },
  },
});

/** `GET /openapi.json`, for everybody who reaches the service: it holds nothing that the repository does not. */
export const openApiRouter = (version: string): Router<ServiceState> => {
  const text = JSON.stringify(openApiDocument(version));
  return new Router<ServiceState>().get('/openapi.json', (ctx) => {
    ctx.type = 'application/json';
    ctx.set('Cache-Control', 'no-cache');
    ctx.body = text;
  });
};
