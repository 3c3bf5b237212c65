/**
 * Places of the blocks of disks, as they lie in their containers. They are read in pages of a disk
 * when they are needed, so a disk of 64 TiB opens at once.
 */
import type { DiskView, ViewBlock } from '../repository/restorePointView.ts';
import { LoadCache } from './loadCache.ts';

/** Blocks of one page. */
const PAGE_BLOCKS = 1024;
/** A page whose blocks all hold data takes about 96 KiB, so all of them take 24 MiB. */
const MAX_PAGES = 256;

/** By block of the page; undefined for zeros. */
type Page = readonly (ViewBlock | undefined)[];

/** Shared by all disks of a repository. */
export class PlaceCache {
  readonly #pages: LoadCache<Page> = new LoadCache<Page>(MAX_PAGES);
  /** Places name the open files of their view, so another view of the same disk has its own. */
  readonly #views = new WeakMap<DiskView, number>();
  #viewCount = 0;

  /** Block `index` of a disk; undefined for zeros. */
  async at(view: DiskView, index: number): Promise<ViewBlock | undefined> {
    const page = await this.#page(view, Math.floor(index / PAGE_BLOCKS));
    return page[index % PAGE_BLOCKS];
  }

  /** The blocks `[from, to)` of a disk that are not zeros, by ascending index. */
  async *in(view: DiskView, from: number, to: number): AsyncGenerator<ViewBlock> {
    for (let first = from; first < to; ) {
      const number = Math.floor(first / PAGE_BLOCKS);
      const start = number * PAGE_BLOCKS;
      const page = await this.#page(view, number);
      yield* page.slice(first - start, to - start).filter((block) => block !== undefined);
      first = start + PAGE_BLOCKS;
    }
  }

  async #page(view: DiskView, number: number): Promise<Page> {
    return await this.#pages.get(`${this.#numberOf(view)} ${number}`, async () => {
      const from = number * PAGE_BLOCKS;
      const page: (ViewBlock | undefined)[] = [];
      for await (const block of view.blocksIn(from, from + PAGE_BLOCKS)) {
        page[block.index - from] = block;
      }
      return page;
    });
  }

  #numberOf(view: DiskView): number {
    const known = this.#views.get(view) ?? ++this.#viewCount;
    this.#views.set(view, known);
    return known;
  }
}
