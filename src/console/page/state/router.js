// @ts-check
/** Views by the hash of the address, so that a reload and the buttons of the browser work. */
import { useEffect, useMemo, useState } from '../vendor/preact.js';

/** @typedef {{ path: readonly string[], query: URLSearchParams }} Route */

/** @returns {Route} */
function parse() {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  return {
    path: path
      .split('/')
      .filter((part) => part !== '')
      .map(decoded),
    query: new URLSearchParams(query),
  };
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// A view is drawn after the browser would put the old place back.
history.scrollRestoration = 'manual';

/** @type {Set<() => void>} */
const listeners = new Set();
addEventListener('hashchange', () => {
  for (const tell of listeners) tell();
});

/** @param {...string} path */
export function linkTo(...path) {
  return `#/${path.map(encodeURIComponent).join('/')}`;
}

/** @param {{ jobName: string, vmKey: string }} vm */
export function vmLink({ jobName, vmKey }) {
  return linkTo('jobs', jobName, 'vms', vmKey);
}

/** @param {string} href - as {@link linkTo} gives it */
export function goTo(href) {
  location.hash = href;
}

/**
 * Changes the query of this view without a new entry in the history.
 *
 * @param {Readonly<Record<string, string>>} values - an empty text removes its key
 */
export function setQuery(values) {
  const { query } = parse();
  for (const [key, value] of Object.entries(values)) {
    if (value === '') query.delete(key);
    else query.set(key, value);
  }
  const [path = ''] = location.hash.split('?');
  const text = query.toString();
  history.replaceState(null, '', text === '' ? path || '#/' : `${path || '#/'}?${text}`);
  for (const tell of listeners) tell();
}

/** @returns {Route} */
export function useRoute() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const tell = () => setHash(location.hash);
    listeners.add(tell);
    tell();
    return () => void listeners.delete(tell);
  }, []);
  return useMemo(parse, [hash]);
}
