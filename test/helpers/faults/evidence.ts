/** Everything that a session leaves behind or shows, collected to be searched for secrets. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { inspect } from 'node:util';
import pino from 'pino';
import { BackupError } from '../../../src/core/errors.ts';
import type { Logger } from '../../../src/core/log.ts';

/** A secret as it is, and as headers, URLs and dumps of memory would show it. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const isAnyCase = [secret, secret.toUpperCase(), bytes.toString('hex')];
  return [...new Set([...isAnyCase, bytes.toString('base64'), encodeURIComponent(secret)])];
}

/** Texts of an error that somebody may see: itself, its causes, what a log or a crash prints of it. */
function textsOf(error: unknown): string[] {
  const texts = [inspect(error, { depth: 20, showHidden: true }), JSON.stringify(error) ?? ''];
  for (let one = error; one instanceof Error; one = one.cause) {
    texts.push(one.message, one.stack ?? '', String(one));
    if (one instanceof BackupError) texts.push(one.hint, JSON.stringify(one.details));
    if (one instanceof AggregateError) texts.push(...one.errors.flatMap(textsOf));
  }
  return texts;
}

export class Evidence {
  /** Keeps what it is told, at every level. */
  readonly logger: Logger;
  readonly #pieces = new Map<string, Buffer[]>();

  constructor() {
    const write = (line: string): void => this.add('log', line);
    // Without the redaction of the command line: embedders bring loggers of their own.
    this.logger = pino({ level: 'trace' }, { write });
  }

  add(source: string, text: string | Buffer): void {
    const pieces = this.#pieces.get(source) ?? [];
    pieces.push(Buffer.from(text));
    this.#pieces.set(source, pieces);
  }

  addError(error: unknown): void {
    for (const text of textsOf(error)) this.add('error', text);
  }

  /** All files below a folder; one that is gone meanwhile is no evidence. */
  addFiles(folder: string, source: string): void {
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      try {
        this.add(source, name);
        this.add(source, readFileSync(path.join(folder, name)));
      } catch {
        // A folder, or a file that the session has just removed.
      }
    }
  }

  /** Where evidence came from. */
  get sources(): string[] {
    return [...this.#pieces.keys()].toSorted();
  }

  /** Sources that hold any of these secrets, each with the secret's first characters. */
  find(secrets: readonly string[]): string[] {
    const found: string[] = [];
    for (const [source, pieces] of this.#pieces) {
      const all = Buffer.concat(pieces);
      for (const secret of secrets) {
        if (formsOf(secret).some((form) => all.includes(form))) {
          found.push(`${source}: ${secret.slice(0, 6)}…`);
        }
      }
    }
    return found;
  }
}
