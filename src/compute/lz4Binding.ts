/**
 * The only file that touches the `lz4` package: its native block functions, or its JavaScript twin when
 * the native build cannot be loaded.
 *
 * The package has no types, no bounds checks on its index arguments (hence whole views only), and is built
 * per Node ABI, so that a Node upgrade without `npm rebuild` lands in the fallback.
 */
import { createRequire } from 'node:module';
import { FormatError, UsageError } from '../core/errors.ts';

/** Block functions of the package; the native and the script version have the same names. */
interface Lz4Functions {
  compress(source: Buffer, target: Buffer): number;
  uncompress(source: Buffer, target: Buffer): number;
  compressBound(lengthBytes: number): number;
}

export interface Lz4 {
  readonly isNative: boolean;
  /** Why the native build is missing; empty when it is not. */
  readonly reason: string;
  /** Compresses into `target`; returns the bytes written, 0 when they do not fit. */
  encode(source: Buffer, target: Buffer): number;
  /** Decompresses into `target`; returns the bytes written, negative or short for a damaged block. */
  decode(source: Buffer, target: Buffer): number;
}

/** Largest block that may be decoded; above it lz4 1.9.2 has a sign bug (CVE-2021-3520). */
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
    // The script version wants room for the worst case, whatever comes out.
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
 * Loads the block functions alone: the package's entry also loads stream classes that nobody here uses, in
 * every thread. `load` is replaced in tests of the fallback.
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
 * Start-up check for `--strict`.
 *
 * @throws {@link UsageError} `USAGE_CODEC_NOT_NATIVE`
 */
export function requireNativeLz4(lz4: Lz4): void {
  if (lz4.isNative) return;
  throw new UsageError(
    'USAGE_CODEC_NOT_NATIVE',
    `lz4 runs without its native build: ${lz4.reason}`,
    {
      hint: 'run "npm rebuild lz4" with a C++ compiler and the headers of this Node.js, or leave --strict out',
    },
  );
}
