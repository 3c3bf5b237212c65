/** Repositories in S3 for tests: one server for a file, one bucket for each test. */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { isReport, isRunReport } from '../repository/repositoryFiles.ts';
import { keysOf, uploadsOf } from './client.ts';
import { FaultProxy } from './faultProxy.ts';
import { type BucketOptions, type S3Env, type S3Server, startMoto } from './servers.ts';

export interface S3Bench {
  readonly server: S3Server;
  /** Between the product and the server. */
  readonly proxy: FaultProxy;
  /** Variables for commands. `process.env` has them, too. */
  readonly env: S3Env;
  readonly bucket: string;
  /** Location of the test's repository. */
  readonly repository: string;
  /** Location of another repository in the same bucket. */
  repositoryAt(prefix: string): string;
  /** Keys of all objects of the repository, sorted, without its prefix. */
  keys(): Promise<string[]>;
  /** Expects containers, chain metadata, reports and the marker, and no unfinished upload. */
  expectNoStrays(): Promise<void>;
}

const PREFIX = 'backups/site';
/** Files that stay when no session runs. */
const LASTING = /\.(vbk|vib|vbm|age)$|(^|\/)(ovirt-cbt(\.keys)?\.json|verify\.json)$/;

function isLasting(key: string): boolean {
  const name = path.posix.basename(key);
  return LASTING.test(key) || isReport(name) || isRunReport(name);
}

export interface S3BenchOptions {
  readonly start?: () => Promise<S3Server>;
  readonly bucket?: BucketOptions;
}

/** Sets variables. @returns what sets them back */
function setVariables(wanted: Readonly<Record<string, string>>): () => void {
  const before = Object.keys(wanted).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, wanted);
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
}

/** Gives the tests of the file a server, and each of them a bucket. Moto, unless told otherwise. */
export function useS3({ start = startMoto, bucket: options = {} }: S3BenchOptions = {}): S3Bench {
  let server: S3Server;
  let proxy: FaultProxy;
  let bucket = '';
  let setBack: (() => void) | undefined;

  beforeAll(async () => {
    server = await start();
    proxy = await FaultProxy.start(server.endpoint);
    setBack = setVariables({ ...proxy.envFor(server.env) });
  });
  afterAll(async () => {
    setBack?.();
    // Without them the server did not start.
    await proxy?.close();
    await server?.close();
  });
  beforeEach(async () => {
    bucket = `test-${randomUUID()}`;
    await server.createBucket(bucket, options);
    proxy.arm();
  });
  // A fault must not meet the clean-up of other hooks.
  afterEach(() => proxy.arm());

  const bench: S3Bench = {
    get server() {
      return server;
    },
    get proxy() {
      return proxy;
    },
    get env() {
      return proxy.envFor(server.env);
    },
    get bucket() {
      return bucket;
    },
    get repository() {
      return bench.repositoryAt(PREFIX);
    },
    repositoryAt: (prefix) => `s3://${bucket}/${prefix}`,
    keys: async () => {
      const keys = await keysOf(server.client, bucket, `${PREFIX}/`);
      return keys.map((key) => key.slice(PREFIX.length + 1));
    },
    expectNoStrays: async () => {
      expect((await bench.keys()).filter((key) => !isLasting(key))).toEqual([]);
      expect(await uploadsOf(server.client, bucket)).toEqual([]);
    },
  };
  return bench;
}
