// @ts-check
/** The page: login, or navigation and the view of the address. */
/** @import { Toast } from './state/store.js' */
/** @import { IconName } from './parts/basics.js' */
import { Icon, Problem } from './parts/basics.js';
import { ApiError, logout, readMe, wasLoggedIn } from './state/api.js';
import { connect, disconnect, tryAgain } from './state/live.js';
import { useRoute } from './state/router.js';
import { change, useStore } from './state/store.js';
import { closeToast, showProblem } from './state/toasts.js';
import { html, useEffect, useRef, useState } from './vendor/preact.js';
import { Job, Jobs } from './views/jobs.js';
import { Log } from './views/log.js';
import { Login } from './views/login.js';
import { Repositories, Workers } from './views/places.js';
import { Point } from './views/point.js';
import { Runs } from './views/runs.js';
import { Sessions } from './views/sessions.js';
import { Task, Tasks } from './views/tasks.js';
import { Vm } from './views/vm.js';
import { Vms } from './views/vms.js';

export function App() {
  const login = useStore((state) => state.login);
  const [error, setError] = useState(/** @type {unknown} */ (undefined));
  const begin = () => {
    setError(undefined);
    start().catch(setError);
  };
  useEffect(begin, []);
  if (error)
    return html`<main class="loading"><${Problem} error=${error} onRetry=${begin} /></main>`;
  if (login === 'unknown') return html`<p class="loading soft" role="status">Loading …</p>`;
  return login === 'in' ? html`<${Shell} />` : html`<${Login} />`;
}

/** Goes on with a login that the browser still has. */
async function start() {
  if (!wasLoggedIn()) {
    change({ login: 'out' });
    return;
  }
  await readMe().catch((error) => {
    if (ApiError.of(error).status !== 401) throw error;
    change({ login: 'out' });
  });
}

function Shell() {
  const { path } = useRoute();
  const place = path.join('/');
  useEffect(() => {
    connect();
    return disconnect;
  }, []);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <${TopBar} path=${path} place=${place} />
    <${ConnectionBanner} />
    <main id="main" tabindex="-1"><${View} key=${place} path=${path} /></main>
    <${Toasts} />
    <${Spoken} />
  `;
}

/** The hash of the address belongs to the views. @param {MouseEvent} event */
function skip(event) {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

/** @param {{ path: readonly string[] }} props */
function View({ path }) {
  const [first = 'vms', second, third, fourth = '', fifth, pointId = ''] = path;
  if (first === 'jobs' && second !== undefined) {
    if (third !== 'vms') return html`<${Job} name=${second} />`;
    const name = { jobName: second, vmKey: fourth, pointId };
    return fifth === 'points' ? html`<${Point} name=${name} />` : html`<${Vm} ...${name} />`;
  }
  if (first === 'tasks' && second !== undefined) return html`<${Task} taskId=${second} />`;
  const views = {
    vms: Vms,
    sessions: Sessions,
    jobs: Jobs,
    runs: Runs,
    repositories: Repositories,
    workers: Workers,
    tasks: Tasks,
    messages: Log,
  };
  const Chosen = Object.hasOwn(views, first)
    ? views[/** @type {keyof typeof views} */ (first)]
    : Vms;
  return html`<${Chosen} />`;
}

/** Where the link in the navigation is that a view belongs to. @param {readonly string[]} path */
function sectionOf([first = 'vms', , third]) {
  return first === 'jobs' && third === 'vms' ? 'vms' : first;
}

function leave() {
  logout().catch(showProblem);
}

/** @param {{ path: readonly string[], place: string }} props */
function TopBar({ path, place }) {
  const [isOpen, setIsOpen] = useState(false);
  const me = useStore((state) => state.me);
  useEffect(() => setIsOpen(false), [place]);
  const menu = useRef(/** @type {HTMLButtonElement | null} */ (null));
  /** @param {KeyboardEvent} event */
  function close(event) {
    if (event.key !== 'Escape' || !isOpen) return;
    setIsOpen(false);
    menu.current?.focus();
  }
  return html`<header class="bar" onKeyDown=${close}>
    <p class="brand"><span class="mark" aria-hidden="true"></span>ovirt-cbt</p>
    <button type="button" class="menu" ref=${menu} aria-expanded=${isOpen} aria-controls="nav" onClick=${() => setIsOpen(!isOpen)}><${Icon} name=${isOpen ? 'close' : 'menu'} />Menu</button>
    <div id="nav" class="side ${isOpen ? 'is-open' : ''}">
      <${Navigation} section=${sectionOf(path)} />
      <div class="who">
        <p class="soft small">${me?.role === 'operator' ? 'Operator' : 'Read only'}<br />Version ${me?.productVersion}</p>
        <button type="button" onClick=${leave}><${Icon} name="out" />Log out</button>
      </div>
    </div>
  </header>`;
}

/** @param {{ section: string }} props */
function Navigation({ section }) {
  const sessionCount = useStore(({ sessions }) => sessions.size);
  const taskCount = useStore(
    ({ tasks }) => [...tasks.values()].filter(({ state }) => state === 'running').length,
  );
  const unreadCount = useStore((state) => state.unreadCount);
  /** @type {readonly (readonly [string, string, number?, string?])[]} */
  const links = [
    ['vms', 'VMs'],
    ['sessions', 'Sessions', sessionCount, 'running'],
    ['jobs', 'Jobs'],
    ['runs', 'Runs'],
    ['repositories', 'Repositories'],
    ['workers', 'Workers'],
    ['tasks', 'Tasks', taskCount, 'running'],
    ['messages', 'Messages', unreadCount, 'new'],
  ];
  return html`<nav aria-label="Views"><ul>
    ${links.map(([name, label, count = 0, word]) => html`<li key=${name}><a href=${`#/${name}`} aria-current=${name === section ? 'page' : undefined}>${label}${count > 0 && html`<span class="count">${count}<span class="sr"> ${word}</span></span>`}</a></li>`)}
  </ul></nav>`;
}

function ConnectionBanner() {
  const connection = useStore((state) => state.connection);
  return html`<div role="status" class="banner-place">
    ${connection === 'lost' && html`<p class="banner"><${Icon} name="warning" /><span>The connection is lost. What you see may be old.</span> <button type="button" onClick=${() => void tryAgain()}>Connect now</button></p>`}
  </div>`;
}

/** @type {Readonly<Record<Toast['kind'], IconName>>} */
const TOAST_ICONS = { info: 'info', good: 'good', warn: 'warning', bad: 'failed' };

function Toasts() {
  const toasts = useStore((state) => state.toasts);
  return html`<div class="toasts" role="log" aria-label="Notes" aria-live="polite">
    ${toasts.map(
      ({ id, kind, text, hint, href }) => html`<div key=${id} class="toast ${kind}">
      <${Icon} name=${TOAST_ICONS[kind]} />
      <div><p><bdi>${text}</bdi></p>${hint && html`<p class="soft small"><bdi>${hint}</bdi></p>`}${href && html`<a href=${href}>Show</a>`}</div>
      <button type="button" class="bare" aria-label="Close this note" onClick=${() => closeToast(id)}><${Icon} name="close" /></button>
    </div>`,
    )}
  </div>`;
}

/** For screen readers: what began or ended. Percents are not told. */
function Spoken() {
  const spoken = useStore((state) => state.spoken);
  return html`<p class="sr" role="status">${spoken}</p>`;
}
