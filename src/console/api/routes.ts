/** All routes of the API, as data: the server, the OpenAPI document and tests go through them. */
import { z } from 'zod';
import type { Access } from '../access/access.ts';
import {
  chainSchema,
  CONSOLE_SCHEMAS,
  diskMapSchema,
  jobRowSchema,
  liveSessionSchema,
  loginSchema,
  meSchema,
  repositoryRowSchema,
  runQuerySchema,
  runRequestSchema,
  runRowSchema,
  runStartedSchema,
  taskRequestSchema,
  taskRowSchema,
  vmRowSchema,
  workerRowSchema,
} from './schemas.ts';

export const API_BASE = '/api/v1';

export interface Route {
  readonly method: 'get' | 'post' | 'delete';
  /** Below {@link API_BASE}. Names of parameters begin with a colon. */
  readonly path: string;
  readonly summary: string;
  readonly access: Access;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** True when a request without a body is the same as one with `{}`. */
  readonly mayOmitBody?: boolean;
  readonly status: 200 | 201 | 202 | 204;
  /** Type of an answer that is not JSON. */
  readonly type?: 'text/html' | 'text/event-stream';
  /** Schema of a JSON answer. */
  readonly answer?: z.ZodType;
  /** True when the answer has an ETag. */
  readonly hasEtag?: boolean;
  /** Further statuses that only this route has. */
  readonly problems?: readonly number[];
}

export type RouteName =
  | 'login'
  | 'logout'
  | 'me'
  | 'document'
  | 'vms'
  | 'jobs'
  | 'chain'
  | 'blockMap'
  | 'runs'
  | 'runPage'
  | 'repositories'
  | 'workers'
  | 'sessions'
  | 'tasks'
  | 'events'
  | 'startRun'
  | 'stopRun'
  | 'startTask'
  | 'stopTask';

function named(id: string, schema: z.ZodType): z.ZodType {
  CONSOLE_SCHEMAS.add(schema, { id });
  return schema;
}

function listOf(id: string, schema: z.ZodType): z.ZodType {
  return named(id, z.array(schema).readonly());
}

const READ = { method: 'get', access: 'read', status: 200 } as const;
const VM = '/jobs/:job/vms/:vm';

export const ROUTES: Readonly<Record<RouteName, Route>> = {
  login: {
    method: 'post',
    path: '/login',
    summary: 'Shows a token once. The answer sets a cookie.',
    access: 'open',
    body: loginSchema,
    status: 200,
    answer: meSchema,
    problems: [401, 429],
  },
  logout: {
    method: 'post',
    path: '/logout',
    summary: 'Ends the login of the cookie, and its event streams.',
    access: 'read',
    status: 204,
  },
  me: { ...READ, path: '/me', summary: 'Role of the login, and its CSRF token.', answer: meSchema },
  document: {
    ...READ,
    path: '/openapi.json',
    summary: 'This document.',
    answer: named('Document', z.looseObject({ openapi: z.string() })),
  },
  vms: {
    ...READ,
    path: '/vms',
    summary: 'All VMs of all jobs. A VM of two jobs has two rows.',
    answer: listOf('Vms', vmRowSchema),
    hasEtag: true,
  },
  jobs: { ...READ, path: '/jobs', summary: 'All jobs.', answer: listOf('Jobs', jobRowSchema) },
  chain: {
    ...READ,
    path: `${VM}/chain`,
    summary: 'Restore points of a VM, oldest first.',
    answer: chainSchema,
    problems: [404],
  },
  blockMap: {
    ...READ,
    path: `${VM}/points/:point/map`,
    summary: 'Where each disk changed between a restore point and the one before it.',
    answer: listOf('DiskMaps', diskMapSchema),
    problems: [404],
  },
  runs: {
    ...READ,
    path: '/runs',
    summary: 'Past runs, newest first.',
    query: runQuerySchema,
    answer: listOf('Runs', runRowSchema),
    problems: [404],
  },
  runPage: {
    ...READ,
    path: '/runs/:run/page',
    summary: 'Report of a run, as a page without scripts.',
    type: 'text/html',
    problems: [404],
  },
  repositories: {
    ...READ,
    path: '/repositories',
    summary: 'All repositories, with their size and its growth.',
    answer: listOf('Repositories', repositoryRowSchema),
  },
  workers: {
    ...READ,
    path: '/workers',
    summary: 'Processes that take sessions from the queue.',
    answer: listOf('Workers', workerRowSchema),
  },
  sessions: {
    ...READ,
    path: '/sessions',
    summary: 'Sessions that run now.',
    answer: listOf('LiveSessions', liveSessionSchema),
  },
  tasks: {
    ...READ,
    path: '/tasks',
    summary: 'Restores, checks and exports that were started here.',
    answer: listOf('Tasks', taskRowSchema),
  },
  events: {
    ...READ,
    path: '/events',
    summary: 'Server-sent events: what changes, as ConsoleEvent.',
    type: 'text/event-stream',
    problems: [503],
  },
  startRun: {
    method: 'post',
    path: '/jobs/:job/runs',
    summary: 'Starts a run of a job, of all its VMs or of some.',
    access: 'change',
    body: runRequestSchema,
    mayOmitBody: true,
    status: 202,
    answer: runStartedSchema,
    problems: [404, 409],
  },
  stopRun: {
    method: 'delete',
    path: '/runs/:run',
    summary: 'Stops a run that goes on. Its sessions end in order.',
    access: 'change',
    status: 204,
    problems: [404],
  },
  startTask: {
    method: 'post',
    path: '/tasks',
    summary: 'Starts a restore, a check or an export.',
    access: 'change',
    body: taskRequestSchema,
    status: 201,
    answer: taskRowSchema,
    problems: [404, 409],
  },
  stopTask: {
    method: 'delete',
    path: '/tasks/:task',
    summary: 'Stops a task that goes on.',
    access: 'change',
    status: 204,
    problems: [404],
  },
};

/** Names of the parameters of a path. */
export function paramsOf(path: string): string[] {
  return [...path.matchAll(/:(\w+)/g)].flatMap(([, name]) => name ?? []);
}
