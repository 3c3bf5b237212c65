// @ts-check
/** Data that a view reads when it opens, and again when something changes. */
import { Problem } from './basics.js';
import { html, useCallback, useEffect, useRef, useState } from '../vendor/preact.js';

/**
 * @template T
 * @typedef {{ data: T | undefined, error: unknown, reload: () => void }} Loaded
 */

/**
 * Data stays while newer data is read.
 *
 * @template T
 * @param {() => Promise<T>} load
 * @param {readonly unknown[]} reasons - read again when one of them changes
 * @returns {Loaded<T>}
 */
export function useLoaded(load, reasons) {
  const [loaded, setLoaded] = useState(
    /** @type {{ data: T | undefined, error: unknown }} */ ({ data: undefined, error: undefined }),
  );
  const turn = useRef(0);
  const reload = useCallback(() => {
    const own = ++turn.current;
    load().then(
      (data) => own === turn.current && setLoaded({ data, error: undefined }),
      (error) => own === turn.current && setLoaded(({ data }) => ({ data, error })),
    );
  }, reasons);
  useEffect(() => {
    reload();
    return () => void turn.current++;
  }, [reload]);
  return { ...loaded, reload };
}

/**
 * Calls again and again while the view is open.
 *
 * @param {() => void} call
 * @param {number} periodMs
 */
export function useEvery(call, periodMs) {
  const last = useRef(call);
  last.current = call;
  useEffect(() => {
    const timer = setInterval(() => document.hidden || last.current(), periodMs);
    return () => clearInterval(timer);
  }, [periodMs]);
}

/**
 * What is loaded, or why it is not.
 *
 * @template T
 * @param {{ of: Loaded<T>, show: (data: T) => unknown }} props
 */
export function Loadable({ of, show }) {
  const { data, error, reload } = of;
  return html`
    ${error !== undefined && html`<${Problem} error=${error} onRetry=${reload} />`}
    ${data !== undefined && show(data)}
    ${data === undefined && error === undefined && html`<p class="loading soft" role="status">Loading …</p>`}
  `;
}
