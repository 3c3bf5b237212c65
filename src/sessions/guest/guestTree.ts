/** Looks at files of a guest whose file systems are mounted. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { patternMatcher } from '../../core/namePattern.ts';
import type { Guestfish } from './guestfish.ts';
import {
  bytesOf,
  type GuestStat,
  listsOf,
  MAX_LINE_BYTES,
  parseStats,
  quoted,
  quotedList,
  textOf,
} from './guestfishLanguage.ts';

/** A file of a guest. Bytes of names that are no UTF-8 are U+FFFD here. */
export interface GuestEntry extends Omit<GuestStat, 'mode'> {
  readonly name: string;
  /** From the root of the guest. */
  readonly path: string;
}

export interface FoundFile {
  /** Without symbolic links; bytes as latin1. */
  readonly realPath: string;
  readonly stat: GuestStat;
}

/** Space for the command and the quotes around its lists. */
const COMMAND_BYTES = 64;
const ROOT_STAT: GuestStat = { kind: 'folder', mode: 0o755, sizeBytes: 0, modifiedAt: '' };

/** A path as the user writes it, from the root of the guest. */
export function guestPath(text: string): string {
  return path.posix.resolve('/', text);
}

export class GuestTree {
  readonly #fish: Guestfish;
  readonly #folder: string;
  #listCount = 0;

  /** @param folder - private folder for lists that guestfish writes */
  constructor(fish: Guestfish, folder: string) {
    this.#fish = fish;
    this.#folder = folder;
  }

  /**
   * Follows symbolic links inside the guest.
   *
   * @throws {@link UsageError} `USAGE_NOT_FOUND`
   */
  async find(guestFile: string): Promise<FoundFile> {
    const output = await this.#fish
      .run(`realpath ${quoted(bytesOf(guestFile))}`)
      .catch((error: unknown) => {
        throw /No such file|Not a directory|Too many levels/i.test(String(error))
          ? notFound(guestFile)
          : error;
      });
    const realPath = output.replace(/\n$/, '');
    if (realPath === '/') return { realPath, stat: ROOT_STAT };
    const { dir, base } = path.posix.parse(realPath);
    const [stat] = await this.#stats(dir, [base]);
    if (!stat) throw notFound(guestFile);
    return { realPath, stat };
  }

  /** Files of a folder by name, or the one file that `guestFile` names. */
  async list(guestFile: string): Promise<GuestEntry[]> {
    const { realPath, stat } = await this.find(guestFile);
    if (stat.kind !== 'folder') return [entryOf(bytesOf(guestFile), stat)];
    const list = await this.#writeList('ls0', realPath);
    const names = (await readFile(list, 'latin1')).split('\0').filter((name) => name !== '');
    return await this.#entries(realPath, bytesOf(guestFile), names);
  }

  /**
   * Files of all mounted file systems that fit a pattern with `*` and `?`. A pattern without slash
   * is compared with names, otherwise with whole paths.
   */
  async search(pattern: string): Promise<GuestEntry[]> {
    const fits = patternMatcher(pattern);
    const isForPaths = pattern.includes('/');
    const byFolder = new Map<string, string[]>();
    for await (const found of pathsIn(await this.#writeList('find0', '/'))) {
      const { dir, base } = path.posix.parse(found);
      if (!fits(textOf(isForPaths ? found : base))) continue;
      const names = byFolder.get(dir);
      if (names) names.push(base);
      else byFolder.set(dir, [base]);
    }
    const entries: GuestEntry[] = [];
    for (const [folder, names] of byFolder) {
      entries.push(...(await this.#entries(folder, folder, names)));
    }
    return entries.toSorted(byPath);
  }

  async #writeList(command: 'ls0' | 'find0', guestFolder: string): Promise<string> {
    const list = path.join(this.#folder, `list${this.#listCount++}`);
    await this.#fish.run(`${command} ${quoted(guestFolder)} ${quoted(bytesOf(list))}`);
    return list;
  }

  /** @param shownFolder - the folder as the user calls it */
  async #entries(
    folder: string,
    shownFolder: string,
    names: readonly string[],
  ): Promise<GuestEntry[]> {
    const stats = await this.#stats(folder, names);
    return names
      .flatMap((name, k) => {
        const stat = stats[k];
        return stat ? [entryOf(path.posix.join(shownFolder, name), stat)] : [];
      })
      .toSorted(byPath);
  }

  async #stats(folder: string, names: readonly string[]): Promise<(GuestStat | undefined)[]> {
    const place = quoted(folder);
    const stats: (GuestStat | undefined)[] = [];
    for (const list of listsOf(names, MAX_LINE_BYTES - COMMAND_BYTES - place.length)) {
      const output = await this.#fish.run(`lstatnslist ${place} ${quotedList(list)}`);
      stats.push(...parseStats(output));
    }
    return stats;
  }
}

function entryOf(bytes: string, { kind, sizeBytes, modifiedAt }: GuestStat): GuestEntry {
  const shown = textOf(bytes);
  return { name: path.posix.basename(shown), path: shown, kind, sizeBytes, modifiedAt };
}

function byPath(a: GuestEntry, b: GuestEntry): number {
  if (a.path === b.path) return 0;
  return a.path < b.path ? -1 : 1;
}

/** Paths of a list of `find0`, from the root; bytes as latin1. */
async function* pathsIn(list: string): AsyncGenerator<string> {
  let rest = '';
  for await (const text of createReadStream(list, 'latin1')) {
    const parts = (rest + String(text)).split('\0');
    rest = parts.pop() ?? '';
    for (const part of parts) yield path.posix.resolve('/', part);
  }
}

function notFound(guestFile: string): UsageError {
  return new UsageError('USAGE_NOT_FOUND', `there is no ${guestFile} in the guest`, {
    hint: 'look with "ls" at the folder above it, or search with "find"',
  });
}
