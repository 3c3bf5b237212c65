// @ts-check
/** Jobs, and a job with its runs. */
/** @import { JobRow } from '../../contract.ts' */
import {
  Badge,
  Facts,
  KeepFocus,
  Name,
  OutcomeBadge,
  Section,
  Time,
  ViewHead,
} from '../parts/basics.js';
import { Table } from '../parts/table.js';
import { linkTo } from '../state/router.js';
import { useIsOperator, useStore } from '../state/store.js';
import { html } from '../vendor/preact.js';
import { counted } from '../words.js';
import { RunJob, StopRun } from './actions.js';
import { RunList } from './runs.js';

/** @type {readonly import('../parts/table.js').Column<JobRow>[]} */
const COLUMNS = [
  {
    label: 'Job',
    cell: ({ name }) => html`<a href=${linkTo('jobs', name)}><${Name} text=${name} /></a>`,
  },
  { label: 'State', cell: (job) => html`<${JobState} job=${job} />` },
  { label: 'Next run', cell: ({ next }) => html`<${Time} iso=${next} />` },
  { label: 'Last run', cell: ({ lastRun }) => html`<${Time} iso=${lastRun?.startedAt} />` },
  {
    label: 'Schedule',
    cell: ({ schedule }) =>
      schedule ? html`<code>${schedule}</code>` : html`<span class="soft">by hand</span>`,
  },
  { label: 'VMs', kind: 'number', cell: ({ vmCount }) => vmCount },
  { label: 'Engine', cell: ({ engineName }) => html`<${Name} text=${engineName} />` },
  { label: 'Repository', cell: ({ repositoryName }) => html`<${Name} text=${repositoryName} />` },
];

export function Jobs() {
  const jobs = useStore((state) => state.jobs);
  const isOperator = useIsOperator();
  return html`
    <${ViewHead} title="Jobs" mark=${html`<span class="soft">${counted(jobs.size, 'job')}</span>`} />
    <section class="card"><${Table} caption="Jobs" rows=${[...jobs.values()]} keyOf=${(/** @type {JobRow} */ { name }) => name} empty="The job file has no job."
      columns=${[...COLUMNS, isOperator && { label: 'Action', kind: 'actions', cell: (/** @type {JobRow} */ job) => html`<${JobAction} job=${job} />` }]} /></section>
  `;
}

/** @param {{ job: JobRow }} props */
function JobState({ job: { runId, lastRun } }) {
  if (runId !== undefined) return html`<${Badge} kind="info" icon="running">running<//>`;
  if (!lastRun) return html`<span class="soft">never ran</span>`;
  return html`<${OutcomeBadge} outcome=${lastRun.outcome} />`;
}

/** @param {{ job: JobRow }} props */
function JobAction({ job: { name, runId, vmCount } }) {
  return html`<${KeepFocus}>${
    runId === undefined
      ? html`<${RunJob} jobName=${name} vmCount=${vmCount} />`
      : html`<${StopRun} runId=${runId} jobName=${name} />`
  }<//>`;
}

/** @param {{ name: string }} props */
export function Job({ name }) {
  const job = useStore(({ jobs }) => jobs.get(name));
  return html`
    <${ViewHead} title=${name} kicker=${html`<a href="#/jobs">Jobs</a>`} mark=${job && html`<${JobState} job=${job} /><div class="actions"><${JobAction} job=${job} /></div>`}><${Name} text=${name} /><//>
    ${job && html`<${Section} title="What it does"><${JobFacts} job=${job} /><//>`}
    <${RunList} jobName=${name} />
  `;
}

/** @param {{ job: JobRow }} props */
function JobFacts({ job }) {
  const { name, engineName, repositoryName, schedule, next, lastRun, vmCount } = job;
  return html`<${Facts} facts=${[
    [
      'VMs',
      html`<a href=${`#/vms?${new URLSearchParams({ job: name })}`}>${counted(vmCount, 'VM')}</a>`,
    ],
    ['Engine', html`<${Name} text=${engineName} />`],
    ['Repository', html`<${Name} text=${repositoryName} />`],
    ['Schedule', schedule ? html`<code>${schedule}</code>` : 'by hand'],
    ['Next run', next && html`<${Time} iso=${next} />`],
    [
      'Last run',
      lastRun && html`<${Time} iso=${lastRun.startedAt} /> to <${Time} iso=${lastRun.endedAt} />`,
    ],
  ]} />`;
}
