/** Failures of servers whose texts repeat secrets, as those of real ones may, and of logins that are wrong. */
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';
import type { Lab, LabAction, LabMatch } from '../../../lab/src/index.ts';
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

/** The answer is made when it is sent. An image server knows no secret but the ticket that it is asked for. */
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
