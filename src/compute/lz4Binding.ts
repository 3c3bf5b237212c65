/**
 * The only file that touches the `lz4` package. It loads the native block functions, or the
 * JavaScript version when the native build cannot be loaded.
 *
 * The package has no types. It does not check its index arguments, so only whole views are passed.
 * It is built for one Node ABI: after an upgrade of Node without `npm rebuild`, the JavaScript
 * version is used.
 */
import { createRequire } from 'node:module';
import { FormatError, UsageError } from '../core/errors.ts';

/** Block functions of the package. The native and the JavaScript version have the same names. */
interface Lz4Functions {
  compress(source: Buffer, target: Buffer): number;
  uncompress(source: Buffer, target: Buffer): number;
  compressBound(lengthBytes: number): number;
}

export interface Lz4 {
  readonly isNative: boolean;
  /** Why the native build is missing; empty when it is loaded. */
  readonly reason: string;
  /** Compresses into `target`. Returns the bytes written; 0 when they do not fit. */
  encode(source: Buffer, target: Buffer): number;
  /**
   * Decompresses into `target`. Returns the bytes written; for a damaged block a negative number,
   * or fewer bytes than expected.
   */
  decode(source: Buffer, target: Buffer): number;
}

/** Largest block that may be decoded. Above it lz4 1.9.2 has a sign bug (CVE-2021-3520). */
const MAX_DECODED_BYTES = 16 * 1024 * 1024;

function checkTarget(target: Buffer): void {
  if (target.length === 0 || target.length > MAX_DECODED_BYTES) {
    throw new FormatError(
      'FORMAT_BOUNDS',
      `LZ4 block of ${target.length} B: 1 B to 16 MiB allowed`,
    );
  }
}

function nativeLz4(native: Lz4Functions): Lz4 {
  return {
    isNative: true,
    reason: '',
    encode: (source, target) => native.compress(source, target),
    decode: (source, target) => {
      checkTarget(target);
      return native.uncompress(source, target);
    },
  };
}

function scriptLz4(script: Lz4Functions, reason: string): Lz4 {
  return {
    isNative: false,
    reason,
    // The JavaScript version needs room for the worst case, even when the result is small.
    encode: (source, target) => {
      const scratch = Buffer.alloc(script.compressBound(source.length));
      const bytes = script.compress(source, scratch);
      if (bytes <= 0 || bytes > target.length) return 0;
      scratch.copy(target, 0, 0, bytes);
      return bytes;
    },
    decode: (source, target) => {
      checkTarget(target);
      return script.uncompress(source, target);
    },
  };
}

export type PackageLoader = (name: string) => unknown;

/**
 * Loads only the block functions. The entry of the package would also load stream classes, in every
 * thread, and nobody here uses them.
 *
 * @param load - replaced in tests of the JavaScript version.
 */
export function loadLz4(load: PackageLoader = createRequire(import.meta.url)): Lz4 {
  try {
    return nativeLz4(load('lz4/build/Release/lz4.node') as Lz4Functions);
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return scriptLz4(load('lz4/lib/binding.js') as Lz4Functions, reason);
  }
}

/**
 * Check for `--strict` at the start of a command.
 *
 * @throws {@link UsageError} `USAGE_CODEC_NOT_NATIVE`
 */
export function requireNativeLz4(lz4: Lz4): void {
  if (lz4.isNative) return;
  throw new UsageError(
    'USAGE_CODEC_NOT_NATIVE',
    `lz4 runs without its native build: ${lz4.reason}`,
    {
      hint: 'run "npm rebuild lz4" with a C++ compiler and the headers of this Node.js, or leave out --strict',
    },
  );
}
