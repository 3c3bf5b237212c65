/** An HTTP client of the lab's engine that converts nothing. */
import { setTimeout as sleepMs } from 'node:timers/promises';
import { Agent, type Dispatcher, request } from 'undici';
import { expect } from 'vitest';
import type { Lab } from '../../../lab/src/index.ts';

const POLL_MS = 2;
const DEADLINE_MS = 20_000;

/** JSON of the engine: wire data, which the tests assert on. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = { readonly [name: string]: any };

export interface Answer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly text: string;
  /** Empty when the body is no JSON. */
  readonly json: Json;
}

/** Repeats `look` until it finds something. Throws after 20 s. */
export async function waitUntil<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const endMs = performance.now() + DEADLINE_MS;
  while (performance.now() < endMs) {
    const found = await look();
    if (found !== undefined) return found;
    await sleepMs(POLL_MS);
  }
  throw new Error(`waited in vain for ${what}`);
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return {};
  }
}

export class EngineClient implements AsyncDisposable {
  readonly lab: Lab;
  readonly #agent: Agent;
  token = '';

  constructor(lab: Lab) {
    this.lab = lab;
    this.#agent = new Agent({ connect: { ca: lab.caPem } });
  }

  static async login(lab: Lab): Promise<EngineClient> {
    const client = new EngineClient(lab);
    const answer = await client.sso({ username: lab.username, password: lab.password });
    expect(answer.status).toBe(200);
    client.token = answer.json['access_token'] as string;
    return client;
  }

  async sso(
    form: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>> = { accept: 'application/json' },
  ): Promise<Answer> {
    const fields = { grant_type: 'password', scope: 'ovirt-app-api', ...form };
    return await this.raw('POST', `${this.lab.url}/sso/oauth/token`, {
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams(fields).toString(),
    });
  }

  async raw(
    method: Dispatcher.HttpMethod,
    url: string,
    options: {
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string | Buffer;
    } = {},
  ): Promise<Answer> {
    const { statusCode, headers, body } = await request(url, {
      method,
      dispatcher: this.#agent,
      headers: { ...options.headers },
      body: options.body ?? null,
    });
    const text = await body.text();
    return { status: statusCode, headers, text, json: parse(text) };
  }

  async call(
    method: Dispatcher.HttpMethod,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    return await this.raw(method, `${this.lab.url}/api${path}`, {
      headers: {
        accept: 'application/json',
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
  }

  async get(path: string): Promise<Json> {
    const answer = await this.call('GET', path);
    expect(answer.status, `${path}: ${answer.text}`).toBe(200);
    return answer.json;
  }

  async post(path: string, body: unknown = {}): Promise<Json> {
    const answer = await this.call('POST', path, body);
    expect(answer.status, `${path}: ${answer.text}`).toBeLessThan(300);
    return answer.json;
  }

  /** Waits until an entity has this value in a field. */
  async waitFor(path: string, field: string, value: string): Promise<Json> {
    return await waitUntil(`${path} with ${field} ${value}`, async () => {
      const { json } = await this.call('GET', path);
      return json[field] === value ? json : undefined;
    });
  }

  async waitGone(path: string): Promise<void> {
    await waitUntil(`${path} gone`, async () => {
      const { status } = await this.call('GET', path);
      return status === 404 ? true : undefined;
    });
  }

  /** Bytes of an image, over its ticket. */
  async readImage(url: string, offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const { statusCode, body } = await request(url, {
      dispatcher: this.#agent,
      headers: { range: `bytes=${offsetBytes}-${offsetBytes + lengthBytes - 1}` },
    });
    expect(statusCode).toBe(206);
    return Buffer.from(await body.arrayBuffer());
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
