/**
 * S3 servers of the tests, on a free port of 127.0.0.1: moto in memory, versitygw on files. No test
 * framework in here.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import type { S3 } from '@aws-sdk/client-s3';
import { makeFolder, rootFolder } from '../folders.ts';
import { makeBucket, s3Client } from './client.ts';
import { ServerProcess } from './serverProcess.ts';

/** Variables with which the product, also as a child process, reaches a server. */
export interface S3Env {
  readonly AWS_ACCESS_KEY_ID: string;
  readonly AWS_SECRET_ACCESS_KEY: string;
  readonly AWS_REGION: string;
  readonly AWS_ENDPOINT_URL_S3: string;
  /** Profiles and tokens of the user must not count. */
  readonly AWS_PROFILE: '';
  readonly AWS_SESSION_TOKEN: '';
  readonly AWS_CONFIG_FILE: '/dev/null';
  readonly AWS_SHARED_CREDENTIALS_FILE: '/dev/null';
}

export interface BucketOptions {
  readonly versioning?: boolean;
  /** Turns versioning on, too. */
  readonly objectLock?: boolean;
  readonly defaultRetention?: { readonly mode: 'COMPLIANCE' | 'GOVERNANCE'; readonly days: number };
}

export interface S3Server {
  readonly endpoint: string;
  readonly env: S3Env;
  /** A client of the server, closed with it. */
  readonly client: S3;
  createBucket(name: string, options?: BucketOptions): Promise<void>;
  /** Ends the server and deletes what it stored. May be called twice. */
  close(): Promise<void>;
}

const KEY_ID = 'test-key';
const SECRET = 'test-secret-key';
const REGION = 'us-east-1';

const MOTO_IS_MISSING = `moto_server is not installed. Tests of repositories in S3 need it.
Run "bash test/helpers/s3/install.sh", or set MOTO_SERVER to the path of the program.`;
const VERSITYGW_IS_MISSING = `versitygw is not installed. "npm run test:interop" installs it with Go.
Or set VERSITYGW to the path of the program.`;

/** Path of a program: from a variable, from the .venv of the clone, or from PATH. */
function programOf(name: string, variable: string, missing: string): string {
  const folders = [path.join(rootFolder(), '.venv/bin'), ...(process.env['PATH'] ?? '').split(':')];
  const given = process.env[variable];
  const files = given ? [given] : folders.map((folder) => path.join(folder, name));
  const found = files.find((file) => existsSync(file));
  if (found === undefined) throw new Error(missing);
  return found;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

function serverOf(server: ServerProcess, endpoint: string): S3Server {
  const env: S3Env = {
    AWS_ACCESS_KEY_ID: KEY_ID,
    AWS_SECRET_ACCESS_KEY: SECRET,
    AWS_REGION: REGION,
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_PROFILE: '',
    AWS_SESSION_TOKEN: '',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  };
  const client = s3Client(env);
  return {
    endpoint,
    env,
    client,
    createBucket: async (name, options) => await makeBucket(client, name, options),
    close: async () => {
      client.destroy();
      await server.close();
    },
  };
}

/** Starts moto. It does not check signatures. @throws an Error when it is not installed */
export async function startMoto(): Promise<S3Server> {
  const program = programOf('moto_server', 'MOTO_SERVER', MOTO_IS_MISSING);
  const folder = makeFolder('moto');
  const args = ['-H', '127.0.0.1', '-p', '0'];
  const env = { PYTHONUNBUFFERED: '1', TMPDIR: folder };
  const server = new ServerProcess({ name: 'moto_server', program, args, env, folder });
  const endpoint = await server.waitFor(
    () => /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(server.output)?.[1],
  );
  return serverOf(server, endpoint);
}

async function isUp(url: string): Promise<true | undefined> {
  try {
    return (await fetch(url)).ok || undefined;
  } catch {
    return undefined;
  }
}

/** Path of versitygw. @throws an Error when it is not installed */
export function versitygwProgram(): string {
  return programOf('versitygw', 'VERSITYGW', VERSITYGW_IS_MISSING);
}

/** Starts versitygw on a new folder. @throws an Error when it is not installed */
export async function startVersitygw(): Promise<S3Server> {
  const program = versitygwProgram();
  const port = await freePort();
  const folder = makeFolder('versitygw');
  const [objects, versions] = [path.join(folder, 'objects'), path.join(folder, 'versions')];
  for (const made of [objects, versions]) mkdirSync(made);
  const args = ['--port', `127.0.0.1:${port}`, '--health', '/health', '--keep-alive', '--quiet'];
  args.push('posix', '--versioning-dir', versions, objects);
  const env = { ROOT_ACCESS_KEY_ID: KEY_ID, ROOT_SECRET_ACCESS_KEY: SECRET };
  const server = new ServerProcess({ name: 'versitygw', program, args, env, folder });
  const endpoint = `http://127.0.0.1:${port}`;
  await server.waitFor(async () => await isUp(`${endpoint}/health`));
  return serverOf(server, endpoint);
}
