/**
 * `Range` and `Content-Range` by imageio's rules: one range, no suffix form. A range is never
 * shortened.
 */
import { ImageioError, outOfRange } from './errors.ts';

export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/**
 * The range of a GET. Only a range with an end is checked. An open range may have a length of 0 or
 * less.
 * @returns undefined without a header
 * @throws {@link ImageioError} 416; with a `content-range` only when the range is well-formed
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  if (header === undefined) return undefined;
  if (/^bytes=-\d+$/.test(header)) {
    throw new ImageioError(416, 'suffix-byte-range-spec not supported yet');
  }
  const [matched, first, last] = /^bytes=(\d+)-(\d*)$/.exec(header) ?? [];
  if (!matched) {
    const text = `Cannot satisfy range '${header}', invalid range or multiple ranges`;
    throw new ImageioError(416, text);
  }
  const offsetBytes = Number(first);
  if (!last) return { offsetBytes, lengthBytes: sizeBytes - offsetBytes };
  if (Number(last) < offsetBytes) {
    throw new ImageioError(416, `Cannot satisfy range '${header}', first > last`);
  }
  const range = { offsetBytes, lengthBytes: Number(last) + 1 - offsetBytes };
  assertInside(range, sizeBytes);
  return range;
}

/**
 * Offset of a PUT. Only the start of the range counts; 0 without a header.
 * @throws {@link ImageioError} 400
 */
export function parseContentRange(header: string | undefined): number {
  if (header === undefined) return 0;
  const first = /^bytes (\d+)-(?:\d+|\*)\/(?:\d+|\*)$/.exec(header)?.[1];
  if (first === undefined) throw new ImageioError(400, `Invalid Content-Range '${header}'`);
  return Number(first);
}

/** @throws {@link ImageioError} 416 */
export function assertInside(range: ByteRange, sizeBytes: number): void {
  if (range.offsetBytes + range.lengthBytes <= sizeBytes) return;
  throw outOfRange('Requested range out of allowed range', sizeBytes);
}
