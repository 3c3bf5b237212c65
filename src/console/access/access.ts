/** Logs clients in, and decides what a request may do. */
import type { IncomingMessage } from 'node:http';
import type { Role } from '../contract.ts';
import { FailedLogins } from './failedLogins.ts';
import { isSameSecret, type Login, Logins, type LoginsOptions, tokenLogin } from './logins.ts';
import { ApiError } from '../problems.ts';

/** `open`: without a login. `read`: with one. `change`: of an operator. */
export type Access = 'open' | 'read' | 'change';

export interface AccessOptions extends LoginsOptions {
  /** With TLS, browsers send the cookie on encrypted connections alone. */
  readonly isTls: boolean;
  /** Told of a token that is wrong. */
  readonly onRefused: (address: string) => void;
}

const LOGIN_HINT = 'log in, or send the header "authorization: Bearer TOKEN"';

function bearerOf(request: IncomingMessage): string | undefined {
  const { authorization } = request.headers;
  return authorization && (/^bearer +(\S+)$/i.exec(authorization)?.[1] ?? '');
}

function addressOf(request: IncomingMessage): string {
  return request.socket.remoteAddress ?? '';
}

export class AccessControl {
  readonly #options: AccessOptions;
  readonly #logins: Logins;
  readonly #failed: FailedLogins;
  readonly #cookieName: string;

  constructor(options: AccessOptions) {
    this.#options = options;
    this.#logins = new Logins(options);
    this.#failed = new FailedLogins(options.nowMs);
    // Browsers take this prefix only with Secure, and from this very host.
    this.#cookieName = options.isTls ? '__Host-ovirt-cbt' : 'ovirt-cbt';
  }

  /**
   * Logs a browser in.
   *
   * @returns the login, and the header that sets its cookie.
   * @throws {@link ApiError} `API_TOKEN_REFUSED`, `API_TOO_MANY_LOGINS`
   */
  open(request: IncomingMessage, token: string): { readonly login: Login; setCookie: string } {
    const role = this.#roleOf(request, token);
    const before = this.#cookieLogin(request, false);
    if (before) this.#logins.close(before);
    const { login, cookie } = this.#logins.open(role);
    return { login, setCookie: this.#cookieText(cookie, '') };
  }

  /** Logs a browser out. @returns the header that removes its cookie. */
  close(login: Login): string {
    this.#logins.close(login);
    return this.#cookieText('', '; Max-Age=0');
  }

  readonly isOpen = (login: Login): boolean => this.#logins.isOpen(login);

  /**
   * The login of a request, after all checks.
   *
   * @param isUse - makes the login of a browser last longer.
   * @throws {@link ApiError} `API_LOGIN_NEEDED`, `API_TOKEN_REFUSED`, `API_TOO_MANY_LOGINS`,
   *   `API_READ_ONLY`, `API_CSRF`
   */
  permit(request: IncomingMessage, access: Access, isUse: boolean): Login {
    const login = this.#loginOf(request, isUse);
    if (access === 'change' && login.role !== 'operator') {
      throw new ApiError('API_READ_ONLY', 'this login may only look', 'log in as operator');
    }
    const isChange = request.method !== 'GET' && request.method !== 'HEAD';
    if (isChange && login.csrfToken !== '') checkCsrf(request, login);
    return login;
  }

  /** True for a request with a token of either role. */
  hasToken(request: IncomingMessage): boolean {
    const token = bearerOf(request);
    if (token === undefined) return false;
    try {
      this.#roleOf(request, token);
      return true;
    } catch (error) {
      if (error instanceof ApiError) return false;
      throw error;
    }
  }

  #loginOf(request: IncomingMessage, isUse: boolean): Login {
    const token = bearerOf(request);
    if (token !== undefined) return tokenLogin(this.#roleOf(request, token));
    const login = this.#cookieLogin(request, isUse);
    if (login) return login;
    throw new ApiError('API_LOGIN_NEEDED', 'a login is needed', LOGIN_HINT);
  }

  #roleOf(request: IncomingMessage, token: string): Role {
    const address = addressOf(request);
    const seconds = this.#failed.waitSeconds(address);
    if (seconds > 0) {
      const text = 'too many wrong tokens came from this address';
      const hint = `wait ${seconds} s, then try again`;
      throw new ApiError('API_TOO_MANY_LOGINS', text, hint, { 'retry-after': `${seconds}` });
    }
    const role = this.#logins.roleOf(token);
    if (role) return role;
    this.#failed.add(address);
    this.#options.onRefused(address);
    const hint = 'copy the whole line of the token file';
    throw new ApiError('API_TOKEN_REFUSED', 'this token is not known', hint, {
      'www-authenticate': 'Bearer',
    });
  }

  #cookieLogin(request: IncomingMessage, isUse: boolean): Login | undefined {
    const name = `${this.#cookieName}=`;
    const pairs = (request.headers.cookie ?? '').split(';').map((pair) => pair.trim());
    const value = pairs.find((pair) => pair.startsWith(name))?.slice(name.length);
    return value === undefined ? undefined : this.#logins.find(value, isUse);
  }

  #cookieText(value: string, more: string): string {
    const secure = this.#options.isTls ? '; Secure' : '';
    return `${this.#cookieName}=${value}; Path=/; HttpOnly; SameSite=Strict${secure}${more}`;
  }
}

function checkCsrf(request: IncomingMessage, login: Login): void {
  const given = request.headers['x-csrf-token'];
  if (typeof given === 'string' && isSameSecret(given, login.csrfToken)) return;
  throw new ApiError(
    'API_CSRF',
    'the header x-csrf-token is missing or wrong',
    'load the page again; a program takes csrfToken from the answer of its login',
  );
}
