/** A redis-server of a test: in a folder of its own, on a unix socket, without persistence. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, beforeEach } from 'vitest';
import { makeFolder } from '../folders.ts';
import { ServerProcess } from '../s3/serverProcess.ts';

export interface RedisOptions {
  readonly password?: string;
  /** Also on a port of this machine. */
  readonly port?: number;
  /** More lines of its configuration. */
  readonly config?: readonly string[];
}

export class RedisServer {
  readonly #options: RedisOptions;
  readonly #folder: string;
  /** The data outlives the process and its folder. */
  readonly #data: string;
  #process: ServerProcess | undefined;
  #client: Redis | undefined;

  constructor(options: RedisOptions, data: string) {
    this.#options = options;
    this.#folder = makeFolder('redis');
    this.#data = data;
  }

  get url(): string {
    return `unix://${this.#socket}`;
  }

  /** A connection of the test. */
  get client(): Redis {
    const { password } = this.#options;
    this.#client ??= new Redis({
      path: this.#socket,
      maxRetriesPerRequest: null,
      retryStrategy: () => 50,
      ...(password === undefined ? {} : { password }),
    }).on('error', () => {});
    return this.#client;
  }

  async start(): Promise<void> {
    const { password, port = 0, config = [] } = this.#options;
    mkdirSync(this.#folder, { recursive: true });
    const file = path.join(this.#folder, 'redis.conf');
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `unixsocket ${this.#socket}`,
      `dir ${this.#data}`,
      'save ""',
      ...(password === undefined ? [] : [`requirepass ${password}`]),
      ...config,
    ];
    writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
    this.#process = new ServerProcess({
      name: 'redis-server',
      program: 'redis-server',
      args: [file],
      folder: this.#folder,
    });
    await this.#process.waitFor(async () => (await this.client.ping()) === 'PONG' || undefined);
  }

  /** Kills the server. What it holds is lost, except with persistence. */
  async stop(): Promise<void> {
    await this.#process?.close();
    this.#process = undefined;
  }

  /** Ends the server in order. */
  async shutDown(): Promise<void> {
    execFileSync('redis-cli', ['-s', this.#socket, 'shutdown']);
    await this.stop();
  }

  /** Kills the server, and deletes all its data. */
  async lose(): Promise<void> {
    await this.stop();
    rmSync(this.#data, { recursive: true });
    mkdirSync(this.#data);
  }

  async close(): Promise<void> {
    this.#client?.disconnect();
    await this.stop();
  }

  get #socket(): string {
    return path.join(this.#folder, 'socket');
  }
}

/** Gives each test a server. */
export function useRedis(options: RedisOptions = {}): { readonly server: RedisServer } {
  let server: RedisServer | undefined;
  beforeEach(async () => {
    server = new RedisServer(options, makeFolder('redis-data'));
    await server.start();
  });
  afterEach(async () => {
    await server?.close();
    server = undefined;
  });
  return {
    get server() {
      if (!server) throw new Error('the server of the test does not run');
      return server;
    },
  };
}
