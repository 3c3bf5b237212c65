/** Expands zlib streams (RFC 1950) of blocks that others stored. */
import {
  UNPACK_BAD_LENGTH,
  UNPACK_BAD_STREAM,
  UNPACK_OK,
  type UnpackStatus,
} from '../storedForm.ts';
import { builtinZlib } from './builtinZlib.ts';

/**
 * Expands one zlib stream into `target`, which it must fill exactly. Bytes after the end of the
 * stream are padding. No more memory than `target` and a few KiB is used, whatever the stream says.
 */
export function inflateInto(stored: Buffer, target: Buffer): UnpackStatus {
  const zlib = builtinZlib();
  try {
    // With one byte of room more, the end of the stream is found in the first chunk.
    const options = { maxOutputLength: target.length, chunkSize: Math.max(64, target.length + 1) };
    const plain = zlib.inflateSync(stored, options);
    if (plain.length !== target.length) return UNPACK_BAD_LENGTH;
    plain.copy(target);
    return UNPACK_OK;
  } catch (error) {
    const isTooLong = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    return isTooLong ? UNPACK_BAD_LENGTH : UNPACK_BAD_STREAM;
  }
}
