/** A local versitygw, and repositories as cases: in a folder and in its bucket, open and sealed. */
import { readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { emptyPrefix } from '../test/helpers/s3/client.ts';
import { type S3Server, startVersitygw, versitygwProgram } from '../test/helpers/s3/servers.ts';
import { generateKeyFile } from '../src/store/seal/keyFile.ts';
import { readStat } from './cpuWatch.ts';
import type { Repository } from './product.ts';
import { removeAll } from './programs.ts';
import type { BenchCase } from './suite.ts';

export const BUCKET = 'bench';
const PROGRAM = 'versitygw';

/** @returns why versitygw cannot be used; undefined when it is installed */
export function whyNoVersitygw(): string | undefined {
  try {
    versitygwProgram();
    return undefined;
  } catch (error) {
    return (error as Error).message.replace('\n', ' ');
  }
}

/** A repository that can be removed. */
export interface StorePlace extends Repository {
  /** For names of cases. */
  readonly name: string;
  readonly reset: () => Promise<void>;
}

export type PlaceName = 'folder' | 's3' | 'sealedFolder' | 'sealedS3';
export type Places = Readonly<Record<PlaceName, StorePlace>>;

export class StoreRig {
  /** For the files of cases. */
  readonly folder: string;
  readonly server: S3Server;
  readonly #keyFile: string;
  readonly #pid: string;

  private constructor(folder: string, server: S3Server, keyFile: string, pid: string) {
    this.folder = folder;
    this.server = server;
    this.#keyFile = keyFile;
    this.#pid = pid;
  }

  /** @param folder - is made, and takes the repositories in folders. The caller deletes it. */
  static async start(folder: string): Promise<StoreRig> {
    await mkdir(folder);
    const keyFile = path.join(folder, 'key');
    await writeFile(keyFile, generateKeyFile(), { mode: 0o600 });
    const server = await startVersitygw();
    await server.createBucket(BUCKET);
    return new StoreRig(folder, server, keyFile, pidOfServer());
  }

  get env(): Record<string, string> {
    return { ...this.server.env };
  }

  /** New places. @param purpose - tells them from those of other measurements */
  places(purpose: string): Places {
    return {
      folder: this.#folder('folder', `${purpose}-open`),
      s3: this.#bucket('S3', `${purpose}-open`),
      sealedFolder: this.#sealed(this.#folder('sealed folder', `${purpose}-sealed`)),
      sealedS3: this.#sealed(this.#bucket('sealed S3', `${purpose}-sealed`)),
    };
  }

  /** Deletes the objects below a prefix. */
  async empty(prefix: string): Promise<void> {
    await emptyPrefix(this.server.client, BUCKET, `${prefix}/`);
  }

  /** The case, with the CPU time of the server beside its own. */
  served(one: BenchCase): BenchCase {
    return {
      ...one,
      run: async () => {
        const before = this.#cpuSeconds();
        const outcome = await one.run();
        return { ...outcome, serverCpuSeconds: this.#cpuSeconds() - before };
      },
    };
  }

  async close(): Promise<void> {
    await this.server.close();
  }

  #cpuSeconds(): number {
    return readStat(`/proc/${this.#pid}/stat`)?.cpuSeconds ?? Number.NaN;
  }

  #folder(name: string, folderName: string): StorePlace {
    const repo = path.join(this.folder, folderName);
    return { name, repo, reset: () => removeAll(repo) };
  }

  #bucket(name: string, prefix: string): StorePlace {
    const repo = `s3://${BUCKET}/${prefix}`;
    return { name, repo, env: this.env, reset: () => this.empty(prefix) };
  }

  #sealed(place: StorePlace): StorePlace {
    return { ...place, keyFile: this.#keyFile };
  }
}

/** The server is a child of this process, and there is only one of its name. */
function pidOfServer(): string {
  const pid = readdirSync('/proc').find((name) => {
    const stat = /^\d+$/.test(name) ? readStat(`/proc/${name}/stat`) : undefined;
    return stat?.parent === process.pid && stat.name === PROGRAM;
  });
  if (pid === undefined) throw new Error(`${PROGRAM} is no child of this process`);
  return pid;
}
