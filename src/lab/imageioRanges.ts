/** `Range` and `Content-Range` by the rules of imageio: one range, no suffix form, nothing is cut short. */
import { ImageioError, outOfRange } from './imageioErrors.ts';

export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/**
 * What a GET asks for.
 *
 * @returns undefined without a header.
 * @throws {@link ImageioError} 416; for the suffix form without a `content-range`, as imageio does.
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  if (header === undefined) return undefined;
  if (/^bytes=-\d+$/.test(header)) {
    throw new ImageioError(416, `Suffix range is not supported: ${header}`);
  }
  const [matched, first, last] = /^bytes=(\d+)-(\d*)$/.exec(header) ?? [];
  if (!matched) throw outOfRange(`Cannot satisfy range: ${header}`, sizeBytes);
  const offsetBytes = Number(first);
  const endBytes = last ? Number(last) + 1 : sizeBytes;
  if (offsetBytes >= sizeBytes || endBytes <= offsetBytes) {
    throw outOfRange(`Cannot satisfy range: ${header}`, sizeBytes);
  }
  if (endBytes > sizeBytes) throw outOfRange('Requested range out of allowed range', sizeBytes);
  return { offsetBytes, lengthBytes: endBytes - offsetBytes };
}

/**
 * Where a PUT writes: only the start of the range counts; 0 without a header.
 *
 * @throws {@link ImageioError} 400
 */
export function parseContentRange(header: string | undefined): number {
  if (header === undefined) return 0;
  const first = /^bytes (\d+)-(?:\d+|\*)\/(?:\d+|\*)$/.exec(header)?.[1];
  if (first === undefined) throw new ImageioError(400, `Invalid content-range: ${header}`);
  return Number(first);
}

/** @throws {@link ImageioError} 416 */
export function assertInside(range: ByteRange, sizeBytes: number): void {
  if (range.offsetBytes + range.lengthBytes <= sizeBytes) return;
  throw outOfRange('Requested range out of allowed range', sizeBytes);
}
