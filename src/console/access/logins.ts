/** Tokens of two roles, and the logins of browsers, which are kept in memory. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Role } from '../contract.ts';

/** Logins of a role at once. The one that was unused for longest ends first. */
const MAX_LOGINS = 1000;
const RANDOM_BYTES = 32;

/** At least one role has a token. */
export interface ConsoleTokens {
  readonly operator?: string | undefined;
  readonly readOnly?: string | undefined;
}

/** A client that showed a token, with each request or once. */
export interface Login {
  readonly role: Role;
  /** Empty for a client that shows its token with each request. */
  readonly csrfToken: string;
  /** Digest of the value of its cookie. Empty as `csrfToken`. */
  readonly key: string;
}

interface BrowserLogin extends Login {
  usedAtMs: number;
}

/** Login of a request that shows a token. */
export function tokenLogin(role: Role): Login {
  return { role, csrfToken: '', key: '' };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Compares in a time that tells nothing about the texts. */
export function isSameSecret(one: string, other: string): boolean {
  return timingSafeEqual(digest(one), digest(other));
}

function randomText(): string {
  return randomBytes(RANDOM_BYTES).toString('base64url');
}

export interface LoginsOptions {
  readonly tokens: ConsoleTokens;
  /** A login that was not used for so long ends. */
  readonly idleMs: number;
  /** A clock that never goes back. */
  readonly nowMs: () => number;
}

export class Logins {
  readonly #options: LoginsOptions;
  /** By the digest of the value of the cookie, so that a search tells nothing about values. */
  readonly #logins = new Map<string, BrowserLogin>();

  constructor(options: LoginsOptions) {
    this.#options = options;
  }

  /** Role of a token. All tokens are compared, whichever fits. */
  roleOf(token: string): Role | undefined {
    const { operator, readOnly } = this.#options.tokens;
    const isOperator = isSameSecret(token, operator ?? '') && operator !== undefined;
    const isReadOnly = isSameSecret(token, readOnly ?? '') && readOnly !== undefined;
    if (isOperator) return 'operator';
    return isReadOnly ? 'readOnly' : undefined;
  }

  /** @returns the login, and the value of its cookie. */
  open(role: Role): { readonly login: Login; readonly cookie: string } {
    const cookie = randomText();
    const key = keyOf(cookie);
    const login = { role, csrfToken: randomText(), key, usedAtMs: this.#options.nowMs() };
    this.#removeOld(role);
    this.#logins.set(key, login);
    return { login, cookie };
  }

  /**
   * The login of a cookie.
   *
   * @param isUse - makes it last longer.
   */
  find(cookie: string, isUse: boolean): Login | undefined {
    const login = this.#logins.get(keyOf(cookie));
    if (!login || !this.isOpen(login)) return undefined;
    if (!isUse) return login;
    login.usedAtMs = this.#options.nowMs();
    // The map is in the order of use.
    this.#logins.delete(login.key);
    this.#logins.set(login.key, login);
    return login;
  }

  close({ key }: Login): void {
    this.#logins.delete(key);
  }

  /** False for a login that was closed or was not used for too long. */
  isOpen({ key }: Login): boolean {
    if (key === '') return true;
    const login = this.#logins.get(key);
    const { nowMs, idleMs } = this.#options;
    return login !== undefined && nowMs() - login.usedAtMs < idleMs;
  }

  /** Makes room for a login of a role. Who may only look cannot end logins of operators. */
  #removeOld(role: Role): void {
    for (const login of this.#logins.values()) if (!this.isOpen(login)) this.close(login);
    const ofRole = [...this.#logins.values()].filter((login) => login.role === role);
    const tooMany = Math.max(0, ofRole.length + 1 - MAX_LOGINS);
    for (const login of ofRole.slice(0, tooMany)) this.close(login);
  }
}

function keyOf(cookie: string): string {
  return digest(cookie).toString('base64url');
}
