// @ts-check
/** Small parts that all views share: signs, badges, names, times, notes of problems. */
/** @import { VmHealth, TaskRow } from '../../contract.ts' */
/** @import { RunOutcome } from '../../../jobs/runReport.ts' */
/** @import { ProgressResult } from '../../../sessions/shared/progress.ts' */
import { ApiError } from '../state/api.js';
import { useStore } from '../state/store.js';
import { html, useEffect, useLayoutEffect, useRef } from '../vendor/preact.js';
import * as words from '../words.js';

/** Outlines in 16 by 16. */
const ICONS = {
  good: 'M3 8.5 6.5 12 13 4.5',
  warning: 'M8 2.8 14.2 13.2H1.8zM8 6.6v3M8 11.6v.1',
  late: 'M8 2.2a5.8 5.8 0 1 1 0 11.6A5.8 5.8 0 0 1 8 2.2zM8 4.8V8l2.4 1.6',
  failed: 'M4 4l8 8M12 4l-8 8',
  never: 'M3.5 8h9',
  damaged: 'M9 1.8 4.5 8.6h3.2L6.6 14.2 12 6.8H8.6z',
  running: 'M5 3.2v9.6L12.6 8z',
  stop: 'M4.2 4.2h7.6v7.6H4.2z',
  info: 'M8 7v5M8 4v.1',
  lock: 'M4.2 7.2h7.6v6H4.2zM5.6 7.2V5a2.4 2.4 0 0 1 4.8 0v2.2',
  close: 'M4 4l8 8M12 4l-8 8',
  menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
  up: 'M8 13V3.5M4 7.5l4-4 4 4',
  down: 'M8 3v9.5M4 8.5l4 4 4-4',
  out: 'M9.5 2.8h3.7v10.4H9.5M2.8 8h7M7 5l3 3-3 3',
  new: 'M9 2.8h4.2V7M13 3 7.5 8.5M11.5 9.5v3.7h-9v-9h3.8',
};
/** @typedef {keyof typeof ICONS} IconName */

/** @param {{ name: IconName }} props */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    <path d=${ICONS[name]} fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" />
  </svg>`;
}

/** @param {{ kind: string, icon: IconName, children?: unknown, title?: string }} props */
export function Badge({ kind, icon, children, title }) {
  return html`<span class="badge ${kind}" title=${title}><${Icon} name=${icon} />${children}</span>`;
}

/** @type {Readonly<Record<VmHealth, string>>} */
const HEALTH_KINDS = {
  good: 'good',
  warning: 'warn',
  late: 'warn',
  failed: 'bad',
  never: 'bad',
  damaged: 'bad',
};

/** @param {{ health: VmHealth }} props */
export function HealthBadge({ health }) {
  return html`<${Badge} kind=${HEALTH_KINDS[health]} icon=${health}>${words.HEALTH_WORDS[health]}<//>`;
}

/** @type {Readonly<Record<RunOutcome | 'notStarted', readonly [string, IconName]>>} */
const OUTCOME_SIGNS = {
  success: ['good', 'good'],
  warning: ['warn', 'warning'],
  failure: ['bad', 'failed'],
  notStarted: ['bad', 'never'],
};

/** @param {{ outcome: RunOutcome | 'notStarted' }} props */
export function OutcomeBadge({ outcome }) {
  const [kind, icon] = OUTCOME_SIGNS[outcome];
  return html`<${Badge} kind=${kind} icon=${icon}>${words.OUTCOME_WORDS[outcome]}<//>`;
}

/** @type {Readonly<Record<TaskRow['state'] | ProgressResult, readonly [string, IconName]>>} */
const STATE_SIGNS = {
  running: ['info', 'running'],
  done: ['good', 'good'],
  failed: ['bad', 'failed'],
  stopped: ['info', 'stop'],
  cancelled: ['info', 'stop'],
};

/** @param {{ state: TaskRow['state'] | ProgressResult }} props */
export function StateBadge({ state }) {
  const [kind, icon] = STATE_SIGNS[state];
  const text = { ...words.TASK_WORDS, ...words.RESULT_WORDS }[state];
  return html`<${Badge} kind=${kind} icon=${icon}>${text}<//>`;
}

/**
 * A name from an engine or a guest. Its direction of writing stays inside, and what is cut off is
 * in the title.
 *
 * @param {{ text: string }} props
 */
export function Name({ text }) {
  return html`<bdi class="name" title=${text}>${text}</bdi>`;
}

/**
 * Local time, with the exact time in the title.
 *
 * @param {{ iso: string | undefined, form?: 'time' | 'date' | 'clock' }} props
 */
export function Time({ iso, form = 'time' }) {
  if (!iso) return html`<span class="soft">–</span>`;
  return html`<time datetime=${iso} title=${iso}>${words.timeText(iso, form)}</time>`;
}

/**
 * The age of something; with `isPast` how long ago it was.
 *
 * @param {{ iso: string | undefined, isPast?: boolean }} props
 */
export function Age({ iso, isPast = false }) {
  const nowMs = useStore((state) => state.nowMs);
  if (!iso) return html`<span class="soft">–</span>`;
  const text = words.ageText(nowMs - Date.parse(iso));
  const isNow = isPast && text === '0 min';
  return html`<time datetime=${iso} title=${`${words.timeText(iso)} (${iso})`}>${isNow ? 'just now' : text}${isPast && !isNow && ' ago'}</time>`;
}

/** A lock that lasts. @param {{ until: string | undefined, form?: 'time' | 'date' }} props */
export function Lock({ until, form = 'date' }) {
  const nowMs = useStore((state) => state.nowMs);
  if (!until || Date.parse(until) <= nowMs) return html`<span class="soft">–</span>`;
  return html`<span class="lock"><${Icon} name="lock" /><span class="sr">locked until </span><${Time} iso=${until} form=${form} /></span>`;
}

/** A size, or a dash. @param {{ bytes: number | undefined }} props */
export function Bytes({ bytes }) {
  if (bytes === undefined) return html`<span class="soft">–</span>`;
  return html`<span title=${`${bytes.toLocaleString()} bytes`}>${words.bytesText(bytes)}</span>`;
}

/**
 * The heading of a view. It gets the focus when the view is opened, so that a screen reader reads
 * it, unless the view itself has put it elsewhere.
 *
 * @param {object} props
 * @param {string} props.title - for the window
 * @param {unknown} [props.children] - what the heading shows instead
 * @param {unknown} [props.kicker]
 * @param {unknown} [props.mark] - beside the heading
 */
export function ViewHead({ title, children, kicker, mark }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    document.title = `${title} · ovirt-cbt`;
  }, [title]);
  useLayoutEffect(() => scrollTo(0, 0), []);
  useEffect(() => {
    const isInside = document.activeElement?.closest('main') ?? false;
    if (!isInside) heading.current?.focus({ preventScroll: true });
  }, []);
  return html`<header class="view-head">
    ${kicker && html`<p class="kicker">${kicker}</p>`}
    <div class="row"><h1 tabindex="-1" ref=${heading}>${children ?? title}</h1>${mark}</div>
  </header>`;
}

/**
 * @param {object} props
 * @param {string} props.title
 * @param {unknown} props.children
 * @param {unknown} [props.intro]
 */
export function Section({ title, children, intro }) {
  return html`<section class="card">
    <div class="row"><h2>${title}</h2></div>
    ${intro && html`<p class="intro">${intro}</p>`}
    ${children}
  </section>`;
}

/** @param {{ error: unknown, onRetry?: () => void }} props */
export function Problem({ error, onRetry }) {
  const { message, hint, code } = ApiError.of(error);
  return html`<div class="note bad" role="alert">
    <p><${Badge} kind="bad" icon="failed">${code}<//> ${message}</p>
    ${hint && html`<p class="soft">What to do: ${hint}</p>`}
    ${onRetry && html`<p><button type="button" onClick=${onRetry}>Try again</button></p>`}
  </div>`;
}

/**
 * A bar for people and for screen readers.
 *
 * @param {{ label: string, part: number, whole: number | undefined }} props
 */
export function ProgressBar({ label, part, whole }) {
  const value = whole === undefined ? {} : { value: words.percentOf(part, whole), max: 100 };
  return html`<progress aria-label=${label} ...${value}></progress>`;
}

/**
 * Facts in words; those without a value are left out.
 *
 * @param {{ facts: readonly (readonly [string, unknown])[] }} props
 */
export function Facts({ facts }) {
  const shown = facts.filter(([, value]) => value !== undefined && value !== '' && value !== false);
  return html`<dl class="facts">
    ${shown.map(([label, value]) => html`<div key=${label}><dt>${label}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/**
 * Keeps the focus inside when what has it makes room for something else, as a button whose action
 * has begun.
 *
 * @param {{ children: unknown }} props
 */
export function KeepFocus({ children }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const hadFocus = place.current?.contains(document.activeElement) ?? false;
  useLayoutEffect(() => {
    if (!hadFocus || place.current?.contains(document.activeElement)) return;
    /** @type {HTMLElement | null | undefined} */ (
      place.current?.querySelector('a, button')
    )?.focus();
  });
  return html`<span ref=${place}>${children}</span>`;
}

/** @param {{ facts: readonly (readonly [string, unknown])[] }} props */
export function Tiles({ facts }) {
  return html`<dl class="tiles">
    ${facts.map(([label, value]) => html`<div class="tile" key=${label}><dt>${label}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}
