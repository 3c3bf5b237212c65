/**
 * For tests of secrets: servers that repeat them, as real ones may, wrong logins, and the search in
 * everything that a session prints or stores.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { inspect } from 'node:util';
import pino from 'pino';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';
import type { Lab, LabAction, LabMatch } from '../../../lab/src/index.ts';
import { BackupError } from '../../../src/core/errors.ts';
import type { Logger } from '../../../src/core/log.ts';
import type { EngineSettings } from '../../../src/ovirt/connection.ts';

export const WRONG_PASSWORD = 'canary-that-nobody-may-see';

const IMAGE: LabMatch = { server: 'imageio', method: 'GET', path: /\/images\/[^/?]+$/ };
const TRANSFER: LabMatch = { server: 'engine', method: 'GET', path: /\/imagetransfers\/[^/]+$/ };
const LOGIN: LabMatch = { server: 'engine', path: /sso\/oauth/ };

/** A server that answers with the secrets it knows. */
export interface LeakyServer {
  readonly title: string;
  readonly match: LabMatch;
  readonly status: number;
  /** The answer, given the secrets. */
  readonly wrap: (secrets: string) => string | object;
}

function refusal(ticket: string): string {
  return `You are not allowed to access this resource: No such ticket ${ticket}`;
}

function page(text: string): string {
  return `<html>${text}</html>`;
}

function transferAt(url: string): object {
  return { id: 'a', phase: 'transferring', transfer_url: url };
}

export const LEAKY_SERVERS: readonly LeakyServer[] = [
  { title: 'imageio forbids a read', match: IMAGE, status: 403, wrap: refusal },
  { title: 'imageio forbids all', match: { server: 'imageio' }, status: 403, wrap: refusal },
  {
    title: 'imageio fails',
    match: { server: 'imageio', method: 'GET' },
    status: 500,
    wrap: (ticket) => ticket,
  },
  {
    title: 'imageio answers OPTIONS oddly',
    match: { server: 'imageio', method: 'OPTIONS' },
    status: 200,
    wrap: (ticket) => ({ max_readers: ticket }),
  },
  {
    title: 'the list of extents is broken',
    match: { server: 'imageio', path: /extents/ },
    status: 200,
    wrap: (ticket) => `[{"start":"${ticket}","length":1}]`,
  },
  {
    title: 'the URL of a transfer is none',
    match: TRANSFER,
    status: 200,
    wrap: (text) => transferAt(`no url ${text}`),
  },
  {
    title: 'the URL of a transfer has an odd protocol',
    match: TRANSFER,
    status: 200,
    wrap: (text) => transferAt(`ftp://host/${text}`),
  },
  {
    title: 'the URL of a transfer names a host that does not exist',
    match: TRANSFER,
    status: 200,
    wrap: (text) => transferAt(`https://h.invalid/images/${text}`),
  },
  {
    title: 'a transfer is not understood',
    match: TRANSFER,
    status: 200,
    wrap: (text) => ({ id: text, phase: {}, transfer_url: text }),
  },
  {
    title: 'the engine answers with a page',
    match: { server: 'engine', path: /\/vms/ },
    status: 200,
    wrap: page,
  },
  {
    title: 'the login is refused with a text',
    match: LOGIN,
    status: 400,
    wrap: (error) => ({ error_code: 'access_denied', error }),
  },
  {
    title: 'the login is refused with an odd code',
    match: LOGIN,
    status: 400,
    wrap: (error) => ({ error }),
  },
  { title: 'the login is answered with a page', match: LOGIN, status: 200, wrap: page },
];

/**
 * A fault that makes the server answer with its secrets. The answer is made when it is sent. An
 * image server knows only the newest ticket.
 */
export function leak(lab: Lab, { match, status, wrap }: LeakyServer): LabAction {
  const known = match.server === 'imageio' ? -1 : 0;
  return {
    status,
    get body() {
      return wrap(lab.secrets().slice(known).join(' '));
    },
  };
}

export interface WrongSettings {
  readonly title: string;
  readonly settings: (lab: Lab) => Partial<EngineSettings>;
}

export const WRONG_SETTINGS: readonly WrongSettings[] = [
  { title: 'the password is wrong', settings: () => ({ password: WRONG_PASSWORD }) },
  {
    title: 'the URL holds the password',
    settings: (lab) => ({ url: lab.url.replace('//', `//admin:${WRONG_PASSWORD}@`) }),
  },
  {
    title: 'the URL is none and holds the password',
    settings: () => ({ url: `admin:${WRONG_PASSWORD}@engine` }),
  },
  { title: 'no CA is trusted', settings: () => ({ caPem: undefined }) },
  { title: 'another CA is trusted', settings: () => ({ caPem: createLabAuthority().caPem }) },
];

/** A secret as plain text, and as in headers, URLs and dumps of memory. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const isAnyCase = [secret, secret.toUpperCase(), bytes.toString('hex')];
  return [...new Set([...isAnyCase, bytes.toString('base64'), encodeURIComponent(secret)])];
}

/** All texts of an error and its causes that a log or a crash may print. */
function textsOf(error: unknown): string[] {
  const texts = [inspect(error, { depth: 20, showHidden: true }), JSON.stringify(error) ?? ''];
  for (let one = error; one instanceof Error; one = one.cause) {
    texts.push(one.message, one.stack ?? '', String(one));
    if (one instanceof BackupError) texts.push(one.hint, JSON.stringify(one.details));
    if (one instanceof AggregateError) texts.push(...one.errors.flatMap(textsOf));
  }
  return texts;
}

export class Evidence {
  /** Keeps all lines, of every level. */
  readonly logger: Logger;
  readonly #pieces = new Map<string, Buffer[]>();

  constructor() {
    const write = (line: string): void => this.add('log', line);
    // Without the redaction of the command line: programs bring their own loggers.
    this.logger = pino({ level: 'trace' }, { write });
  }

  add(source: string, text: string | Buffer): void {
    const pieces = this.#pieces.get(source) ?? [];
    pieces.push(Buffer.from(text));
    this.#pieces.set(source, pieces);
  }

  addError(error: unknown): void {
    for (const text of textsOf(error)) this.add('error', text);
  }

  /** All files below a folder. A file that is gone meanwhile is left out. */
  addFiles(folder: string, source: string): void {
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      try {
        this.add(source, name);
        this.add(source, readFileSync(path.join(folder, name)));
      } catch {
        // A folder, or a file that the session has just removed.
      }
    }
  }

  /** Names of the sources. */
  get sources(): string[] {
    return [...this.#pieces.keys()].toSorted();
  }

  /** Sources that hold any of these secrets, each with the secret's first characters. */
  find(secrets: readonly string[]): string[] {
    const found: string[] = [];
    for (const [source, pieces] of this.#pieces) {
      const all = Buffer.concat(pieces);
      for (const secret of secrets) {
        if (formsOf(secret).some((form) => all.includes(form))) {
          found.push(`${source}: ${secret.slice(0, 6)}…`);
        }
      }
    }
    return found;
  }
}
