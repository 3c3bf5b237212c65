/** A repository in a folder of a file system. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, RepositoryError } from '../../core/errors.ts';
import { repositoryFailure, retryPassing } from '../../core/systemErrors.ts';
import type { Store } from '../store.ts';
import { DiskFolder } from './diskFolder.ts';
import { guardRepository, makeFolder, syncFolder } from './durableFile.ts';
import { freeReserve, keepReserve } from './spaceReserve.ts';

export class DiskStore implements Store {
  readonly name: string;
  readonly root: DiskFolder;
  readonly immutability = undefined;

  constructor(root: string) {
    this.name = root;
    this.root = new DiskFolder(root);
  }

  async names(): Promise<string[] | undefined> {
    try {
      return await retryPassing(() => readdir(this.name));
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'ENOENT') return undefined;
      if (errno !== 'ENOTDIR') throw repositoryFailure(`read ${this.name}`, error);
      throw new RepositoryError('REPOSITORY_NOT_FOUND', `${this.name}: is not a folder`, {
        hint: 'name a folder that "ovirt-cbt backup" made; for the first backup an empty or new folder',
      });
    }
  }

  folder(name: string): DiskFolder {
    return new DiskFolder(path.join(this.name, name));
  }

  async make(): Promise<void> {
    await guardRepository(`create ${this.name}`, () => makeFolder(this.name));
  }

  async makeFolder(name: string): Promise<void> {
    const folder = path.join(this.name, name);
    await guardRepository(`create ${folder}`, async () => {
      await makeFolder(folder);
      await syncFolder(this.name);
    });
  }

  async keepReserve(): Promise<void> {
    await keepReserve(this.name);
  }

  async freeReserve(): Promise<boolean> {
    return await freeReserve(this.name);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
