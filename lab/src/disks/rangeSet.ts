/**
 * A set of whole numbers as disjoint ascending ranges, so that a discard of 64 TiB is one entry.
 * Ranges that touch are merged.
 */

/** `end` is the first number after the range. */
export interface NumberRange {
  readonly start: number;
  readonly end: number;
}

/** Index of the first element that is at least `value`, or the length when there is none. */
function lowerBound(ascending: readonly number[], value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class RangeSet {
  #starts: number[] = [];
  #ends: number[] = [];

  static union(sets: Iterable<RangeSet>): RangeSet {
    const union = new RangeSet();
    for (const set of sets) union.addAll(set);
    return union;
  }

  /** Numbers in the set. */
  get count(): number {
    return this.#starts.reduce((sum, start, at) => sum + (this.#ends[at] as number) - start, 0);
  }

  *[Symbol.iterator](): Generator<NumberRange> {
    for (const [at, start] of this.#starts.entries()) {
      yield { start, end: this.#ends[at] as number };
    }
  }

  has(value: number): boolean {
    // Only the first range that ends after the value can hold it.
    const start = this.#starts[lowerBound(this.#ends, value + 1)];
    return start !== undefined && start <= value;
  }

  add(start: number, end: number): void {
    if (start >= end) return;
    const first = lowerBound(this.#ends, start);
    const after = lowerBound(this.#starts, end + 1);
    const merged = {
      start: first < after ? Math.min(start, this.#starts[first] as number) : start,
      end: first < after ? Math.max(end, this.#ends[after - 1] as number) : end,
    };
    this.#replace(first, after, [merged]);
  }

  addAll(other: Iterable<NumberRange>): void {
    for (const { start, end } of other) this.add(start, end);
  }

  remove(start: number, end: number): void {
    if (start >= end) return;
    const first = lowerBound(this.#ends, start + 1);
    const after = lowerBound(this.#starts, end);
    if (first >= after) return;
    const rests = [
      { start: this.#starts[first] as number, end: start },
      { start: end, end: this.#ends[after - 1] as number },
    ];
    this.#replace(
      first,
      after,
      rests.filter((rest) => rest.start < rest.end),
    );
  }

  clone(): RangeSet {
    const copy = new RangeSet();
    copy.#starts = [...this.#starts];
    copy.#ends = [...this.#ends];
    return copy;
  }

  #replace(first: number, after: number, ranges: readonly NumberRange[]): void {
    this.#starts.splice(first, after - first, ...ranges.map(({ start }) => start));
    this.#ends.splice(first, after - first, ...ranges.map(({ end }) => end));
  }
}
