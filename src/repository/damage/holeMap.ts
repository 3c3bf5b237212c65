/** Damaged blocks of one disk, kept as ranges. */
import type { BackupError, ErrorCode } from '../../core/errors.ts';

/** Why a block is damaged. */
export type DamageReason = Pick<BackupError, 'code' | 'message'>;

/** Blocks `[first, end)`, which are damaged in the same way. */
export interface HoleRange {
  readonly first: number;
  readonly end: number;
  readonly code: ErrorCode;
  /** Message of one of these blocks. */
  readonly message: string;
}

/**
 * Neighbours with the same code are one range, with the message of its first block. Blocks may come
 * in any order, and each comes once. The nearer that order is to ascending, the faster is `add`.
 */
export class HoleMap {
  readonly #ranges: HoleRange[] = [];
  #blockCount = 0;

  get blockCount(): number {
    return this.#blockCount;
  }

  /** Ascending. */
  get ranges(): readonly HoleRange[] {
    return this.#ranges;
  }

  add(index: number, { code, message }: DamageReason): void {
    const at = this.#ranges.findLastIndex(({ first }) => first < index) + 1;
    const [before, after] = [this.#ranges[at - 1], this.#ranges[at]];
    const left = before?.end === index && before.code === code ? before : undefined;
    const right = after?.first === index + 1 && after.code === code ? after : undefined;
    this.#ranges.splice(left ? at - 1 : at, Number(Boolean(left)) + Number(Boolean(right)), {
      first: left?.first ?? index,
      end: right?.end ?? index + 1,
      code,
      message: left?.message ?? message,
    });
    this.#blockCount++;
  }

  /** The range that holds the block; undefined for a block without damage. */
  at(index: number): HoleRange | undefined {
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle]?.end ?? 0) <= index) low = middle + 1;
      else high = middle;
    }
    const range = this.#ranges[low];
    return range && range.first <= index ? range : undefined;
  }
}
