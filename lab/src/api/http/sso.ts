/**
 * Sign-on of the engine: gives tokens for a name and a password, and ends them after an idle time.
 * Source: oVirt contract (SSO): every error is 400, and `Accept` must be exactly
 * `application/json`. The names of the two error fields depend on the scope.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { LabHttpRequest } from '../../http/server.ts';
import type { LabHttpResponse } from '../../http/response.ts';

const APP_SCOPE = 'ovirt-app-api';
/** The largest 64-bit number as text, as the engine sends it. */
const EXPIRY = '9223372036854775807';

export interface SsoOptions {
  readonly username: string;
  readonly password: string;
  readonly idleMs: number;
  readonly recordSecret: (secret: string) => void;
}

/** Form fields of query and body. A field of the body wins. */
function formOf(request: LabHttpRequest): URLSearchParams {
  const form = new URLSearchParams(request.query);
  for (const [name, value] of new URLSearchParams(request.body.toString('utf8'))) {
    form.set(name, value);
  }
  return form;
}

function json(status: number, body: object): LabHttpResponse {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

function ssoError(scope: string | null, code: string, message: string): LabHttpResponse {
  if (scope === APP_SCOPE) return json(400, { error_code: code, error: message });
  return json(400, { error: code, error_description: message });
}

function acceptsJson(headers: IncomingHttpHeaders): boolean {
  return headers.accept === 'application/json';
}

export class SsoSessions {
  readonly #options: SsoOptions;
  /** Time of last use by token, on the monotonic clock. */
  readonly #lastUseMs = new Map<string, number>();

  constructor(options: SsoOptions) {
    this.#options = options;
  }

  /** Answers a request for a token. */
  issue(request: LabHttpRequest): LabHttpResponse {
    const form = formOf(request);
    const scope = form.get('scope');
    if (!acceptsJson(request.headers)) {
      return ssoError(scope, 'invalid_request', 'Missing or unsupported Accept header.');
    }
    const grant = form.get('grant_type');
    if (!grant) return ssoError(scope, 'invalid_request', 'Missing parameter: grant_type');
    if (grant !== 'password') {
      return ssoError(scope, 'unsupported_grant_type', `Grant type ${grant} is not supported.`);
    }
    if (!scope?.split(' ').includes(APP_SCOPE)) {
      return ssoError(scope, 'invalid_scope', 'The requested scope is not known.');
    }
    return this.#issueFor(form.get('username'), form.get('password'), scope);
  }

  /** Answers a logout. An unknown token is answered with 200 and an error text. */
  revoke(request: LabHttpRequest): LabHttpResponse {
    const token = formOf(request).get('token');
    if (!token) return ssoError(APP_SCOPE, 'invalid_request', 'Missing parameter: token');
    if (this.#lastUseMs.delete(token)) return json(200, {});
    return json(200, { error_code: 'invalid_token', error: 'The token is not valid.' });
  }

  /** True when the request carries a live token. The idle time of the token then starts again. */
  admit(headers: IncomingHttpHeaders): boolean {
    const token = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
    if (token === undefined) return false;
    const lastUseMs = this.#lastUseMs.get(token);
    if (lastUseMs === undefined) return false;
    const nowMs = performance.now();
    if (nowMs - lastUseMs > this.#options.idleMs) {
      this.#lastUseMs.delete(token);
      return false;
    }
    this.#lastUseMs.set(token, nowMs);
    return true;
  }

  expireAll(): void {
    this.#lastUseMs.clear();
  }

  #issueFor(username: string | null, password: string | null, scope: string): LabHttpResponse {
    if (!username || !password) {
      return ssoError(scope, 'invalid_request', 'Missing parameter: username or password');
    }
    if (username !== this.#options.username || password !== this.#options.password) {
      const text = `Cannot authenticate user '${username}': The username or password is incorrect..`;
      return ssoError(scope, 'access_denied', text);
    }
    const token = randomBytes(64).toString('base64url');
    this.#options.recordSecret(token);
    this.#lastUseMs.set(token, performance.now());
    return json(200, { access_token: token, scope, exp: EXPIRY, token_type: 'bearer' });
  }
}
