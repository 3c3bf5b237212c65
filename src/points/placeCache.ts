/**
 * Places of the blocks of disks, as they lie in their containers. They are read in pages of a disk
 * when they are needed, so a disk of 64 TiB opens at once.
 */
import { KIB, MIB } from '../core/units.ts';
import type { DiskView, ViewBlock } from '../repository/restorePointView.ts';
import { LoadCache } from './loadCache.ts';

/** Blocks of one page. */
const PAGE_BLOCKS = 1024;
/** Memory of a page whose blocks all hold data. */
const PAGE_BYTES = 96 * KIB;
const CACHE_BYTES = 24 * MIB;

/** By block of the page; undefined for zeros. */
type Page = readonly (ViewBlock | undefined)[];

/** Shared by all disks of a repository. */
export class PlaceCache {
  readonly #pages: LoadCache<Page> = new LoadCache<Page>(CACHE_BYTES);

  /**
   * Block `index` of a disk; undefined for zeros.
   *
   * @param key - names the disk and its restore point.
   */
  async at(key: string, view: DiskView, index: number): Promise<ViewBlock | undefined> {
    const page = await this.#page(key, view, Math.floor(index / PAGE_BLOCKS));
    return page[index % PAGE_BLOCKS];
  }

  /** The blocks `[from, to)` of a disk that are not zeros, by ascending index. */
  async *in(key: string, view: DiskView, from: number, to: number): AsyncGenerator<ViewBlock> {
    for (let first = from; first < to; ) {
      const number = Math.floor(first / PAGE_BLOCKS);
      const start = number * PAGE_BLOCKS;
      const page = await this.#page(key, view, number);
      yield* page.slice(first - start, to - start).filter((block) => block !== undefined);
      first = start + PAGE_BLOCKS;
    }
  }

  async #page(key: string, view: DiskView, number: number): Promise<Page> {
    return await this.#pages.get(`${key} ${number}`, PAGE_BYTES, async () => {
      const from = number * PAGE_BLOCKS;
      const page: (ViewBlock | undefined)[] = [];
      for await (const block of view.blocksIn(from, from + PAGE_BLOCKS)) {
        page[block.index - from] = block;
      }
      return page;
    });
  }
}
