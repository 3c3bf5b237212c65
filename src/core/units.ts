/**
 * Units and checked arithmetic on offsets.
 *
 * Sizes and offsets are plain numbers of bytes. They must stay safe integers, so sizes up to 8 PiB
 * fit.
 */
import { UsageError } from './errors.ts';

export const KIB = 1024;
export const MIB: number = 1024 * KIB;
export const GIB: number = 1024 * MIB;
export const TIB: number = 1024 * GIB;

const SUFFIX_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: KIB,
  kib: KIB,
  m: MIB,
  mib: MIB,
  g: GIB,
  gib: GIB,
  t: TIB,
  tib: TIB,
};

/** Rounds `value` up to a multiple of `step`; both in the same unit, both non-negative. */
export function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** Number of blocks of `blockSizeBytes` that cover `sizeBytes`. The last one may be short. */
export function blockCountOf(sizeBytes: number, blockSizeBytes: number): number {
  return Math.ceil(sizeBytes / blockSizeBytes);
}

/**
 * Length in bytes of block `index` of a disk: the block size, less for a short last block, 0 beyond
 * the end.
 */
export function blockLengthAt(index: number, sizeBytes: number, blockSizeBytes: number): number {
  return Math.max(0, Math.min(blockSizeBytes, sizeBytes - index * blockSizeBytes));
}

/**
 * Parses a size such as `1MiB`, `512k` or `65536`. All units are binary; case does not matter.
 *
 * @param optionName - name of the option, for the error text.
 * @returns bytes, a safe integer of 0 or more.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export function parseBytes(text: string, optionName: string): number {
  const match = /^(\d+)\s*([a-zA-Z]*)$/.exec(text.trim());
  const scale = match ? SUFFIX_BYTES[(match[2] ?? '').toLowerCase()] : undefined;
  const bytes = match && scale ? Number(match[1]) * scale : Number.NaN;
  if (!Number.isSafeInteger(bytes)) {
    throw new UsageError('USAGE_INVALID_OPTION', `${optionName}: "${text}" is not a size`, {
      hint: 'write a number of bytes or a binary unit: 65536, 512KiB, 1MiB, 2GiB',
    });
  }
  return bytes;
}

/** Text of a byte count in binary units, with at most two decimals: `1.50 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  // A value above this limit would be printed as 1024.0 of the smaller unit.
  const limit = 1023.95;
  while (Math.abs(value) >= (unit === 0 ? 1024 : limit) && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 ? 0 : value < 10 ? 2 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** Text of a duration: `950 ms`, `12.3 s`, `3 min 20 s`, `2 h 05 min`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`;
  const seconds = durationMs / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const wholeSeconds = Math.round(seconds);
  const minutes = Math.floor(wholeSeconds / 60);
  if (minutes < 60) return `${minutes} min ${String(wholeSeconds % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
