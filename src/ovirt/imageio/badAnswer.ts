/** Answers of imageio that are not understood. */
import { TransferError } from '../../core/errors.ts';

/** Most bytes of an answer that is text. */
export const MAX_TEXT_BYTES: number = 64 * 1024;

export function badAnswer(message: string): TransferError {
  return new TransferError('TRANSFER_BAD_ANSWER', message, {
    hint: 'report it with the version of ovirt-imageio',
  });
}
