// @ts-check
/** Which rows of a long list are near the part of the page that is seen. */
import { useEffect, useLayoutEffect, useRef, useState } from '../vendor/preact.js';

/** Rows above and below that are drawn, so that scrolling shows no gap. */
const MORE_ROWS = 12;

/**
 * @param {number} count - rows of the list
 * @param {number} rowHeight - pixels
 * @returns {{ from: number, to: number, body: { current: HTMLElement | null } }} `body`: for the
 * element that is as high as all rows
 */
export function useRowWindow(count, rowHeight) {
  const body = useRef(/** @type {HTMLElement | null} */ (null));
  const [first, setFirst] = useState(0);
  const seen = Math.ceil(innerHeight / rowHeight);
  const measure = () => {
    const top = body.current?.getBoundingClientRect().top ?? 0;
    setFirst(Math.max(0, Math.floor(-top / rowHeight)));
  };
  useLayoutEffect(measure, [count, rowHeight]);
  useEffect(() => {
    addEventListener('scroll', measure, { passive: true });
    addEventListener('resize', measure);
    return () => {
      removeEventListener('scroll', measure);
      removeEventListener('resize', measure);
    };
  }, [rowHeight]);
  return {
    from: Math.max(0, Math.min(first - MORE_ROWS, count - seen)),
    to: Math.min(count, first + seen + MORE_ROWS),
    body,
  };
}

/** True while a media query matches. @param {string} query */
export function useMedia(query) {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const tell = () => setMatches(media.matches);
    media.addEventListener('change', tell);
    return () => media.removeEventListener('change', tell);
  }, [query]);
  return matches;
}
