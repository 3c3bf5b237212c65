/** The path of a request, before anything is done with it. No I/O. */

/** Longest path with its query, in characters. */
const MAX_TARGET = 4096;
const CONTROLS = /[\u0000-\u001F\u007F-\u009F]/; // oxlint-disable-line no-control-regex -- they are refused

/** Text of a part that is percent-encoded; undefined for one that cannot be decoded. */
function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function isGoodSegment(segment: string): boolean {
  const text = decoded(segment);
  return text !== undefined && !CONTROLS.test(text) && text !== '.' && text !== '..';
}

function isGoodQuery(query: string): boolean {
  const text = decoded(query.replaceAll('+', ' '));
  return text !== undefined && !CONTROLS.test(text);
}

/**
 * The path of a request without its query, as it came: still percent-encoded. Undefined for one
 * that is no path, that leads upwards, holds control characters, or cannot be decoded.
 */
export function pathOf(target: string): string | undefined {
  if (target.length > MAX_TARGET || !/^\/[!-~]*$/.test(target) || /[\\#]/.test(target)) {
    return undefined;
  }
  const [path = '', ...query] = target.split('?');
  const isGood = path.split('/').every(isGoodSegment) && isGoodQuery(query.join('?'));
  return isGood ? path : undefined;
}
