/**
 * The only file that touches the `lz4` package. It loads the native block functions. Where these
 * cannot be loaded, the WebAssembly kernel does the work (kernels/wasmLz4.ts).
 *
 * The package is optional: npm leaves it out where it cannot be built. A build is for one Node ABI.
 * After an upgrade of Node without `npm rebuild` it cannot be loaded. The package has no types. It
 * does not check its index arguments, so only whole views are passed.
 */
import { createRequire } from 'node:module';
import { FormatError, UsageError } from '../core/errors.ts';
import { WasmLz4 } from './kernels/wasmLz4.ts';

/** Block functions of the package. */
interface Lz4Functions {
  compress(source: Buffer, target: Buffer): number;
  /** LZ4 HC, always of level 9. */
  compressHC(source: Buffer, target: Buffer): number;
  uncompress(source: Buffer, target: Buffer): number;
}

/** Compresses into `target`. Returns the bytes written; 0 when they do not fit. */
export type Lz4Encode = (source: Buffer, target: Buffer) => number;

export interface Lz4 {
  readonly isNative: boolean;
  /** Why the native build is missing; empty when it is loaded. */
  readonly reason: string;
  readonly encode: Lz4Encode;
  /** LZ4 HC: fewer bytes of the same form, for much more CPU time. Only in the native build. */
  readonly encodeHigh?: Lz4Encode | undefined;
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
    encodeHigh: (source, target) => native.compressHC(source, target),
    decode: (source, target) => {
      checkTarget(target);
      return native.uncompress(source, target);
    },
  };
}

function wasmLz4(reason: string): Lz4 {
  const kernel = new WasmLz4();
  return {
    isNative: false,
    reason,
    encode: (source, target) => kernel.encode(source, target),
    decode: (source, target) => {
      checkTarget(target);
      return kernel.decode(source, target);
    },
  };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') {
    return 'it is not installed, or was not built';
  }
  return error.message.split('\n')[0] ?? '';
}

export type PackageLoader = (name: string) => unknown;

/**
 * Loads only the block functions. The entry of the package would also load stream classes, in every
 * thread, and nobody here uses them.
 *
 * @param load - replaced in tests of the kernel.
 */
export function loadLz4(load: PackageLoader = createRequire(import.meta.url)): Lz4 {
  try {
    return nativeLz4(load('lz4/build/Release/lz4.node') as Lz4Functions);
  } catch (error) {
    return wasmLz4(reasonOf(error));
  }
}

/**
 * Check at the start of a session.
 *
 * @param instead - what the user can do without the native build, for the hint.
 * @throws {@link UsageError} `USAGE_CODEC_NOT_NATIVE`
 */
export function requireNativeLz4(lz4: Lz4, instead: string): void {
  if (lz4.isNative) return;
  const text = `lz4 runs without its native build: ${lz4.reason}`;
  throw new UsageError('USAGE_CODEC_NOT_NATIVE', text, {
    hint: `install again where a C++ compiler, make and Python are installed, or ${instead}`,
  });
}
