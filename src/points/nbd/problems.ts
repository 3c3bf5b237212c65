/**
 * Tells each problem once. A damaged block is read again and again by a client that retries, and a
 * full volume refuses every write. One line says what is wrong; counts say how often.
 */

/** Texts that are told for one export. A lost file can make every block a problem of its own. */
const MAX_TEXTS = 20;

export class Problems {
  readonly #tell: (text: string) => void;
  /** Texts by their source. */
  readonly #told = new Map<string, Set<string>>();

  constructor(tell: (text: string) => void) {
    this.#tell = tell;
  }

  /** @param source - name of an export, or of a part of the server. */
  add(source: string, text: string): void {
    const told = this.#told.get(source) ?? new Set();
    this.#told.set(source, told);
    if (told.has(text) || told.size > MAX_TEXTS) return;
    told.add(text);
    if (told.size <= MAX_TEXTS) this.#tell(`${source}: ${text}`);
    else this.#tell(`${source}: more problems are only counted`);
  }
}
