/**
 * Tells each problem once. A damaged block is read again and again by a client that retries, and a
 * full volume refuses every write. One line says what is wrong; counts say how often.
 */

/** Problems that are told for one export. A lost file can make every block a problem of its own. */
const MAX_PROBLEMS = 20;

export class Problems {
  readonly #tell: (text: string) => void;
  /** Topics by their source. */
  readonly #told = new Map<string, Set<string>>();

  constructor(tell: (text: string) => void) {
    this.#tell = tell;
  }

  /**
   * @param source - name of an export, or of a part of the server.
   * @param topic - equal for texts that say the same.
   */
  add(source: string, text: string, topic: string = text): void {
    const told = this.#told.get(source) ?? new Set();
    this.#told.set(source, told);
    if (told.has(topic) || told.size > MAX_PROBLEMS) return;
    told.add(topic);
    if (told.size <= MAX_PROBLEMS) this.#tell(`${source}: ${text}`);
    else this.#tell(`${source}: more problems are only counted`);
  }
}
