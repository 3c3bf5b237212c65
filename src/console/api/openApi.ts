/** The OpenAPI document, made from the routes and their schemas. */
import { z } from 'zod';
import { API_BASE, paramsOf, type Route, ROUTES } from './routes.ts';
import { CONSOLE_SCHEMAS, nameSchema, problemSchema } from './schemas.ts';

type Json = Readonly<Record<string, unknown>>;

const SCHEMA_BASE = '#/components/schemas/';
const JSON_TYPE = 'application/json';
const TEXTS: Readonly<Record<number, string>> = {
  200: 'Done.',
  201: 'Made.',
  202: 'Begun.',
  204: 'Done.',
  304: 'Not changed.',
  400: 'The request is wrong.',
  401: 'A login is needed, or the token is wrong.',
  403: 'The login may only look, or the CSRF token is missing.',
  404: 'There is no such thing.',
  409: 'Something else goes on.',
  413: 'The body is too large.',
  415: 'The body is not JSON.',
  429: 'Too many wrong tokens came from this address.',
  500: 'The daemon failed.',
  502: 'An engine or a repository failed.',
  503: 'Too many clients get events.',
};

interface SchemaNode {
  format?: string | undefined;
  pattern?: string | undefined;
  readOnly?: boolean | undefined;
}

/** Leaves out what says the same twice, or means something else in OpenAPI. */
function simplify({ jsonSchema }: { readonly jsonSchema: SchemaNode }): void {
  delete jsonSchema.readOnly;
  if (jsonSchema.format?.startsWith('date')) delete jsonSchema.pattern;
}

const JSON_SCHEMA = {
  io: 'input',
  // The default of a query is filled in by a function.
  unrepresentable: 'any',
  override: simplify,
} as const;

function referenceTo(id: string): string {
  return SCHEMA_BASE + id;
}

function componentSchemas(): Json {
  const { schemas } = z.toJSONSchema(CONSOLE_SCHEMAS, { ...JSON_SCHEMA, uri: referenceTo });
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, withoutIds(schema)]),
  );
}

/** The document itself says which version of JSON Schema it has. */
function withoutIds(schema: Json): Json {
  const { $schema: _, $id: __, ...rest } = schema;
  return rest;
}

/** A schema by its name, or as a whole when it has none. */
function schemaJson(schema: z.ZodType): Json {
  const name = CONSOLE_SCHEMAS.get(schema)?.id;
  if (name !== undefined) return { $ref: referenceTo(name) };
  return withoutIds(z.toJSONSchema(schema, JSON_SCHEMA));
}

function content(type: string, schema: Json): Json {
  return { content: { [type]: { schema } } };
}

function parametersOf({ path, query }: Route): Json[] {
  const inPath = paramsOf(path).map((name) => ({
    name,
    in: 'path',
    required: true,
    schema: schemaJson(nameSchema),
  }));
  const { properties = {} } = query ? z.toJSONSchema(query, JSON_SCHEMA) : {};
  const inQuery = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    schema,
  }));
  return [...inPath, ...inQuery];
}

function problemStatuses({ access, body, problems = [], path }: Route): number[] {
  const isLoggedIn = access !== 'open';
  const isChange = access === 'change' || path === ROUTES.logout.path;
  return [
    400,
    500,
    ...(isLoggedIn ? [401, 429, 502] : []),
    ...(isChange ? [403] : []),
    ...(body ? [413, 415] : []),
    ...problems,
  ];
}

function responsesOf(route: Route): Json {
  const done =
    route.answer || route.type
      ? content(
          route.type ?? JSON_TYPE,
          route.answer ? schemaJson(route.answer) : { type: 'string' },
        )
      : {};
  const problem = content(JSON_TYPE, schemaJson(problemSchema));
  const statuses = new Set([...problemStatuses(route), ...(route.hasEtag ? [304] : [])]);
  return Object.fromEntries([
    [route.status, { description: TEXTS[route.status], ...done }],
    ...[...statuses].map((status) => [
      status,
      { description: TEXTS[status], ...(status === 304 ? {} : problem) },
    ]),
  ]) as Json;
}

function bodyOf({ body, mayOmitBody = false }: Route): Json {
  if (!body) return {};
  return { requestBody: { required: !mayOmitBody, ...content(JSON_TYPE, schemaJson(body)) } };
}

/** The document, OpenAPI 3.1. */
export function openApiDocument(productVersion: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const [operationId, route] of Object.entries(ROUTES)) {
    const path = API_BASE + route.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = {
      ...paths[path],
      [route.method]: {
        operationId,
        summary: route.summary,
        parameters: parametersOf(route),
        ...bodyOf(route),
        responses: responsesOf(route),
        ...(route.access === 'open' ? { security: [] } : {}),
      },
    };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'ovirt-cbt', version: productVersion },
    security: [{ token: [] }],
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  };
}
