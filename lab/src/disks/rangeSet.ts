/**
 * A set of whole numbers as disjoint ascending ranges, so that a discard of 64 TiB is one entry. Ranges
 * that touch are one.
 */

/** `end` is the first number behind the range. */
export interface NumberRange {
  readonly start: number;
  readonly end: number;
}

/** Index of the first element that is at least `value`; the length when there is none. */
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

  /** How many numbers are in the set. */
  get count(): number {
    return this.#starts.reduce((sum, start, at) => sum + (this.#ends[at] as number) - start, 0);
  }

  *[Symbol.iterator](): Generator<NumberRange> {
    for (const [at, start] of this.#starts.entries()) {
      yield { start, end: this.#ends[at] as number };
    }
  }

  has(value: number): boolean {
    // The first range that ends behind the value is the only one that can hold it.
    const start = this.#starts[lowerBound(this.#ends, value + 1)];
    return start !== undefined && start <= value;
  }

  add(start: number, end: number): void {
    if (start >= end) return;
    const first = lowerBound(this.#ends, start);
    const behind = lowerBound(this.#starts, end + 1);
    const merged = {
      start: first < behind ? Math.min(start, this.#starts[first] as number) : start,
      end: first < behind ? Math.max(end, this.#ends[behind - 1] as number) : end,
    };
    this.#replace(first, behind, [merged]);
  }

  addAll(other: Iterable<NumberRange>): void {
    for (const { start, end } of other) this.add(start, end);
  }

  remove(start: number, end: number): void {
    if (start >= end) return;
    const first = lowerBound(this.#ends, start + 1);
    const behind = lowerBound(this.#starts, end);
    if (first >= behind) return;
    const rests = [
      { start: this.#starts[first] as number, end: start },
      { start: end, end: this.#ends[behind - 1] as number },
    ];
    this.#replace(
      first,
      behind,
      rests.filter((rest) => rest.start < rest.end),
    );
  }

  clone(): RangeSet {
    const copy = new RangeSet();
    copy.#starts = [...this.#starts];
    copy.#ends = [...this.#ends];
    return copy;
  }

  #replace(first: number, behind: number, ranges: readonly NumberRange[]): void {
    this.#starts.splice(first, behind - first, ...ranges.map(({ start }) => start));
    this.#ends.splice(first, behind - first, ...ranges.map(({ end }) => end));
  }
}
