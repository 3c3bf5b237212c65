/** Login at the engine's SSO. @see ovirt-engine OAuthTokenServlet, SsoLogoutServlet */
import type { Agent } from 'undici';
import { z } from 'zod';
import { EngineError } from '../../core/errors.ts';
import type { ResolvedSettings } from '../connection.ts';
import { authRefused, EngineLostError } from './engineErrors.ts';
import { readBody } from '../http.ts';
import { isAbort } from '../networkFailure.ts';

const MAX_ANSWER_BYTES = 1024 * 1024;
const SCOPE = 'ovirt-app-api';
const SERVER_ERROR = 'server_error';

const tokenAnswer = z.object({
  access_token: z.string().min(1).optional(),
  error: z.string().optional(),
  error_code: z.string().optional(),
  error_description: z.string().optional(),
});

interface SsoAnswer {
  readonly status: number;
  readonly body: z.infer<typeof tokenAnswer>;
}

async function post(
  agent: Agent,
  settings: ResolvedSettings,
  path: string,
  form: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<SsoAnswer> {
  const { origin, basePath, timings } = settings;
  try {
    const response = await agent.request({
      origin,
      path: `${basePath}${path}`,
      method: 'POST',
      headersTimeout: timings.restReadMs,
      // SSO answers 400 to any other value of accept.
      headers: {
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams(form).toString(),
      ...(signal ? { signal } : {}),
    });
    const text = (await readBody(response.body, MAX_ANSWER_BYTES)).toString('utf8');
    return { status: response.statusCode, body: parseAnswer(text) };
  } catch (error) {
    if (isAbort(error, signal)) signal?.throwIfAborted();
    throw new EngineLostError(origin, 'login', error);
  }
}

/** Decodes an answer, which some engines wrap in an array. `{}` for a body that is none. */
function parseAnswer(text: string): SsoAnswer['body'] {
  try {
    const data: unknown = JSON.parse(text);
    const parsed = tokenAnswer.safeParse(Array.isArray(data) ? data[0] : data);
    return parsed.success ? parsed.data : {};
  } catch {
    return {};
  }
}

/**
 * Asks for a token.
 *
 * @throws {@link EngineError} `ENGINE_AUTH_REFUSED`; `ENGINE_BAD_ANSWER` when no SSO answered;
 *   `ENGINE_UNREACHABLE` for gateways and server errors, which the caller may try again
 */
export async function requestToken(
  agent: Agent,
  settings: ResolvedSettings,
  signal?: AbortSignal,
): Promise<string> {
  const { status, body } = await post(
    agent,
    settings,
    '/sso/oauth/token',
    {
      grant_type: 'password',
      scope: SCOPE,
      username: settings.username,
      password: settings.password,
    },
    signal,
  );
  if (status === 200 && body.access_token && !body.error) return body.access_token;
  const code = body.error_code ?? body.error ?? '';
  if (status >= 500 || code === SERVER_ERROR) {
    throw new EngineError('ENGINE_UNREACHABLE', `login at ${settings.origin}: HTTP ${status}`, {
      hint: 'the engine may be starting; check its state',
      details: { ssoCode: safeCode(code) },
    });
  }
  if (!code) {
    throw new EngineError(
      'ENGINE_BAD_ANSWER',
      `login at ${settings.origin}: HTTP ${status}, not an answer of oVirt's SSO`,
      {
        hint: 'check that the URL names an oVirt engine, such as https://engine.example/ovirt-engine',
      },
    );
  }
  // The server's text may repeat the password, so only its code is shown.
  throw authRefused(`login of ${settings.username} at ${settings.origin}: ${safeCode(code)}`);
}

/** True when SSO answered that it had failed itself. */
export function isSsoServerError(error: unknown): boolean {
  return error instanceof EngineError && error.details['ssoCode'] === SERVER_ERROR;
}

/** The code if it is words with underscores. Anything else may be text with a secret. */
function safeCode(code: string): string {
  return /^[a-z_]{1,40}$/.test(code) ? code : 'refused';
}

/** Revokes a token, within `connectMs`. Callers ignore its errors. */
export async function revokeToken(
  agent: Agent,
  settings: ResolvedSettings,
  token: string,
): Promise<void> {
  if (!token) return;
  const signal = AbortSignal.timeout(settings.timings.connectMs);
  await post(agent, settings, '/services/sso-logout', { scope: SCOPE, token }, signal);
}
