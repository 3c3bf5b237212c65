/** Takes bytes off a list of pieces. */
export class PieceCursor {
  readonly #pieces: readonly Uint8Array[];
  #index = 0;
  #at = 0;

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces;
  }

  /** @returns the next bytes, as views. Fewer than asked for at the end of the pieces. */
  take(bytes: number): Uint8Array[] {
    const parts: Uint8Array[] = [];
    for (let left = bytes; left > 0; ) {
      const piece = this.#pieces[this.#index];
      if (!piece) break;
      const part = piece.subarray(this.#at, this.#at + left);
      if (part.length > 0) parts.push(part);
      left -= part.length;
      this.#at += part.length;
      if (this.#at < piece.length) continue;
      this.#index++;
      this.#at = 0;
    }
    return parts;
  }
}
