/** The optional packages of the console. No other module loads them. */
import type { Context, Env, Hono } from 'hono';
import type { HttpBindings } from '@hono/node-server';
import { UsageError } from '../../core/errors.ts';
import type { Login } from '../access/logins.ts';

export interface ConsoleEnv extends Env {
  Bindings: HttpBindings;
  Variables: { login: Login };
}

export type ApiContext = Context<ConsoleEnv>;
export type ApiApp = Hono<ConsoleEnv>;

export interface HonoParts {
  readonly Hono: typeof Hono;
  readonly getRequestListener: typeof import('@hono/node-server').getRequestListener;
  /** Tells the listener that a handler has written the answer itself. */
  readonly alreadySent: Response;
}

/** @throws {@link UsageError} `TOOL_MISSING` */
export async function loadHono(): Promise<HonoParts> {
  try {
    const [{ Hono }, { getRequestListener }, { RESPONSE_ALREADY_SENT }] = await Promise.all([
      import('hono'),
      import('@hono/node-server'),
      import('@hono/node-server/utils/response'),
    ]);
    return { Hono, getRequestListener, alreadySent: RESPONSE_ALREADY_SENT };
  } catch (error) {
    const text = 'the packages hono and @hono/node-server are not installed';
    const hint = 'npm install hono @hono/node-server';
    throw new UsageError('TOOL_MISSING', text, { hint, cause: error });
  }
}
