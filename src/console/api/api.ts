/** The API: its routes with their checks and answers. */
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import type { AccessControl } from '../access/access.ts';
import type { ConsoleSources, TaskRequest } from '../contract.ts';
import type { EventStreams } from './eventStreams.ts';
import type { ApiApp, ApiContext, ConsoleEnv, HonoParts } from './hono.ts';
import type { Login } from '../access/logins.ts';
import { openApiDocument } from './openApi.ts';
import { etagOf, isKnown } from '../pageFiles.ts';
import { ApiError, problemOf } from '../problems.ts';
import { checked, queryOf, readJson } from './requestBody.ts';
import { API_BASE, paramsOf, type Route, type RouteName, ROUTES } from './routes.ts';
import {
  type LoginRequest,
  type Me,
  nameSchema,
  type RunQuery,
  type RunRequest,
} from './schemas.ts';
import { REPORT_POLICY } from '../securityHeaders.ts';

export interface ApiOptions {
  readonly hono: HonoParts;
  readonly sources: ConsoleSources;
  readonly access: AccessControl;
  readonly streams: EventStreams;
  readonly productVersion: string;
  readonly hasRestoreFolder: boolean;
  readonly onFailure: (error: unknown) => void;
  /** Told of each change that a client makes, before it is made. */
  readonly onChange: (change: Change) => void;
}

export interface Change {
  readonly route: RouteName;
  /** Path of the request, percent-encoded. */
  readonly path: string;
  /** Body of the request, checked. It holds names, and no secret. */
  readonly request: unknown;
  readonly address: string;
}

/** Parameters of the path, decoded. */
type Params = Readonly<Record<string, string>>;

interface Call {
  readonly context: ApiContext;
  readonly params: Params;
  /** Checked by the schema of the route, as the body is. */
  readonly query: unknown;
  readonly body: unknown;
}

type Handler = (call: Call) => Promise<Response> | Response;

const NO_QUERY = z.strictObject({});
const SERVER_ERROR = 500;

/** The path of a URL as it came, so that it is decoded once: part by part. */
function rawPath(request: Request): string {
  return new URL(request.url).pathname;
}

export function createApi(options: ApiOptions): ApiApp {
  const app = new options.hono.Hono<ConsoleEnv>({ getPath: rawPath });
  const handlers = handlersOf(options);
  for (const [name, route] of Object.entries(ROUTES) as [RouteName, Route][]) {
    app.on(route.method.toUpperCase(), API_BASE + route.path, async (context) => {
      const call = await callOf(name, context, options);
      return await handlers[name](call);
    });
  }
  addWrongMethods(app);
  app.notFound(() => {
    throw new ApiError('API_NOT_FOUND', 'the API has no such path', 'see /api/v1/openapi.json');
  });
  app.onError((error, context) => {
    const { status, body, headers } = problemOf(error);
    // A client that went away while it sent its request is no failure.
    const isGone = context.env.incoming.destroyed && !context.env.incoming.complete;
    if (status >= SERVER_ERROR && !isGone) options.onFailure(error);
    return context.newResponse(JSON.stringify(body), {
      status: status as 400,
      headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    });
  });
  return app;
}

/** Paths that exist, asked with a method that they do not have. */
function addWrongMethods(app: ApiApp): void {
  const routes = Object.values(ROUTES);
  for (const path of new Set(routes.map((route) => route.path))) {
    const methods = routes.filter((route) => route.path === path).map(({ method }) => method);
    const allow = methods.join(', ').toUpperCase();
    app.all(API_BASE + path, () => {
      throw new ApiError('API_METHOD', `use ${allow}`, 'see /api/v1/openapi.json', { allow });
    });
  }
}

/** Checks of all routes, in the order in which they tell a stranger the least. */
async function callOf(name: RouteName, context: ApiContext, options: ApiOptions): Promise<Call> {
  const route = ROUTES[name];
  const { incoming } = context.env;
  if (route.access !== 'open') {
    // A page that only listens is not used by anybody.
    const login = options.access.permit(incoming, route.access, name !== 'events');
    context.set('login', login);
  }
  const params = Object.fromEntries(
    paramsOf(route.path).map((key) => [
      key,
      checked(nameSchema, context.req.param(key), `path: ${key}`),
    ]),
  );
  const query = checked(route.query ?? NO_QUERY, queryOf(context.req.url), 'query');
  const body = await bodyOf(route, incoming);
  if (route.access === 'change') options.onChange(changeOf(name, context, body));
  return { context, params, query, body };
}

async function bodyOf(route: Route, request: IncomingMessage): Promise<unknown> {
  if (!route.body) return undefined;
  const body = await readJson(request);
  return checked(route.body, body ?? (route.mayOmitBody ? {} : undefined), 'body');
}

function changeOf(route: RouteName, { env, req }: ApiContext, request: unknown): Change {
  return { route, path: req.path, request, address: env.incoming.socket.remoteAddress ?? '' };
}

function json(context: ApiContext, route: RouteName, value: unknown): Response {
  return context.json(value, ROUTES[route].status as 200);
}

/** A large answer that a client asks for again and again. */
function jsonWithEtag(context: ApiContext, value: unknown): Response {
  const text = JSON.stringify(value);
  const etag = etagOf(text);
  const headers = { etag, 'cache-control': 'private, no-cache' };
  if (isKnown(context.req.header('if-none-match'), etag)) return context.body(null, 304, headers);
  return context.body(text, 200, { ...headers, 'content-type': 'application/json' });
}

function missing(what: string): ApiError {
  return new ApiError('API_NOT_FOUND', what, 'load the page again');
}

function handlersOf(options: ApiOptions): Readonly<Record<RouteName, Handler>> {
  return { ...loginHandlers(options), ...readHandlers(options), ...changeHandlers(options) };
}

function loginHandlers({
  access,
  streams,
  productVersion,
  hasRestoreFolder,
}: ApiOptions): Readonly<Record<'login' | 'logout' | 'me', Handler>> {
  const meOf = ({ role, csrfToken }: Login): Me => ({
    role,
    csrfToken,
    productVersion,
    restoreFolder: hasRestoreFolder,
  });
  return {
    login: ({ context, body }) => {
      const { token } = body as LoginRequest;
      const { login, setCookie } = access.open(context.env.incoming, token);
      streams.closeEnded();
      context.header('set-cookie', setCookie);
      return json(context, 'login', meOf(login));
    },
    logout: ({ context }) => {
      const setCookie = access.close(context.get('login'));
      streams.closeEnded();
      context.header('set-cookie', setCookie);
      return context.body(null, 204);
    },
    me: ({ context }) => json(context, 'me', meOf(context.get('login'))),
  };
}

type ChangeRoute = 'startRun' | 'stopRun' | 'startTask' | 'stopTask';
type ReadRoute = Exclude<RouteName, ChangeRoute | 'login' | 'logout' | 'me'>;

function readHandlers(options: ApiOptions): Readonly<Record<ReadRoute, Handler>> {
  const { sources, streams, hono, productVersion } = options;
  const document = openApiDocument(productVersion);
  return {
    document: ({ context }) => json(context, 'document', document),
    vms: async ({ context }) => jsonWithEtag(context, await sources.vms()),
    jobs: async ({ context }) => json(context, 'jobs', await sources.jobs()),
    chain: async ({ context, params }) =>
      json(context, 'chain', await sources.chain(nameOf(params, 'job'), nameOf(params, 'vm'))),
    blockMap: async ({ context, params }) => {
      const maps = await sources.blockMap({
        jobName: nameOf(params, 'job'),
        vmKey: nameOf(params, 'vm'),
        pointId: nameOf(params, 'point'),
      });
      if (!maps) throw missing('no report of the session of this restore point is kept');
      return json(context, 'blockMap', maps);
    },
    runs: async ({ context, query }) => {
      const { job, most } = query as RunQuery;
      return json(context, 'runs', await sources.runs(job, most));
    },
    runPage: async ({ context, params }) => {
      const page = await sources.runPage(nameOf(params, 'run'));
      if (page === undefined) throw missing('no report of this run is kept');
      context.header('content-security-policy', REPORT_POLICY);
      return context.html(page);
    },
    repositories: async ({ context }) =>
      json(context, 'repositories', await sources.repositories()),
    workers: async ({ context }) => json(context, 'workers', await sources.workers()),
    sessions: ({ context }) => json(context, 'sessions', sources.sessions()),
    tasks: ({ context }) => json(context, 'tasks', sources.tasks()),
    events: ({ context }) => {
      const { incoming, outgoing } = context.env;
      if (incoming.method === 'HEAD') {
        throw new ApiError('API_METHOD', 'use GET', 'events have no end', { allow: 'GET' });
      }
      streams.open(outgoing, context.get('login'));
      return hono.alreadySent;
    },
  };
}

function changeHandlers({ sources }: ApiOptions): Readonly<Record<ChangeRoute, Handler>> {
  return {
    startRun: async ({ context, params, body }) => {
      const { only } = body as RunRequest;
      return json(context, 'startRun', await sources.startRun(nameOf(params, 'job'), only));
    },
    stopRun: async ({ context, params }) => {
      await sources.stopRun(nameOf(params, 'run'));
      return context.body(null, 204);
    },
    startTask: async ({ context, body }) => {
      const task = await sources.startTask(body as TaskRequest);
      return json(context, 'startTask', task);
    },
    stopTask: async ({ context, params }) => {
      await sources.stopTask(nameOf(params, 'task'));
      return context.body(null, 204);
    },
  };
}

function nameOf(params: Params, key: string): string {
  return params[key] ?? '';
}
