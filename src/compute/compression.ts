/**
 * How much work a session puts into making blocks small. All stored forms are read alike, so no
 * reader knows the choice.
 */
import { invariant, UsageError } from '../core/errors.ts';
import { type Lz4, type Lz4Encode, requireNativeLz4 } from './lz4Binding.ts';

/** `none`: every block stays plain. `default`: LZ4. `high`: LZ4 HC, only in the native build. */
const COMPRESSIONS = ['none', 'default', 'high'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/**
 * Check at the start of a session.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for another text; `USAGE_CODEC_NOT_NATIVE` for
 *   `high` without the native build
 */
export function checkCompression(compression: Compression | undefined, lz4: Lz4): void {
  if (compression === undefined) return;
  // Callers in JavaScript may give anything.
  if (!COMPRESSIONS.includes(compression)) {
    throw new UsageError('USAGE_INVALID_OPTION', `compression: "${compression}" does not exist`, {
      hint: `use ${COMPRESSIONS.join(', ')}`,
    });
  }
  if (compression === 'high') requireNativeLz4(lz4, 'use compression default');
}

/** The function that makes the LZ4 form of a block. It returns 0 for a block that stays plain. */
export function encoderOf(compression: Compression, lz4: Lz4): Lz4Encode {
  if (compression === 'none') return () => 0;
  if (compression === 'default') return lz4.encode;
  const { encode, encodeHigh } = lz4;
  invariant(encodeHigh, 'LZ4 HC without the native build');
  // LZ4 HC takes as long for random bytes as for text. LZ4 tells them apart at little cost.
  return (source, target) => (encode(source, target) > 0 ? encodeHigh(source, target) : 0);
}
