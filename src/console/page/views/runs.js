// @ts-check
/** Runs of the past, with their reports. */
/** @import { RunRow } from '../../contract.ts' */
import { Bytes, Icon, Name, OutcomeBadge, Section, Time, ViewHead } from '../parts/basics.js';
import { Loadable, useLoaded } from '../parts/loaded.js';
import { Table } from '../parts/table.js';
import { readRuns, runPageUrl } from '../state/api.js';
import { linkTo, setQuery, useRoute } from '../state/router.js';
import { useStore } from '../state/store.js';
import { html } from '../vendor/preact.js';
import { durationText } from '../words.js';

const MOST_RUNS = 100;

/** @type {readonly import('../parts/table.js').Column<RunRow>[]} */
const COLUMNS = [
  { label: 'Started', cell: ({ startedAt }) => html`<${Time} iso=${startedAt} />` },
  { label: 'Result', cell: ({ outcome }) => html`<${OutcomeBadge} outcome=${outcome} />` },
  {
    label: 'Duration',
    kind: 'number',
    cell: ({ durationSeconds }) => durationText(durationSeconds),
  },
  { label: 'VMs', kind: 'number', cell: ({ vmCount }) => vmCount },
  {
    label: 'Failed',
    kind: 'number',
    cell: ({ failedVmCount }) =>
      failedVmCount > 0 ? html`<b class="bad-text">${failedVmCount}</b>` : 0,
  },
  { label: 'Read', kind: 'number', cell: ({ readBytes }) => html`<${Bytes} bytes=${readBytes} />` },
  {
    label: 'Stored',
    kind: 'number',
    cell: ({ storedBytes }) => html`<${Bytes} bytes=${storedBytes} />`,
  },
  { label: 'Report', cell: (run) => html`<${ReportLink} run=${run} />` },
];
/** @type {import('../parts/table.js').Column<RunRow>} */
const JOB_COLUMN = {
  label: 'Job',
  cell: ({ jobName }) => html`<a href=${linkTo('jobs', jobName)}><${Name} text=${jobName} /></a>`,
};

/** @param {{ run: RunRow }} props */
function ReportLink({ run: { runId, jobName } }) {
  return html`<a href=${runPageUrl(runId)} target="_blank" rel="noopener noreferrer" aria-label=${`Report of ${jobName}, opens in a new tab`}>Report <${Icon} name="new" /></a>`;
}

/** @param {{ jobName: string | undefined }} props */
export function RunList({ jobName }) {
  // A run that ends changes the last run of its job.
  const ended = useStore(({ jobs }) =>
    [...jobs.values()]
      .filter(({ name }) => jobName === undefined || name === jobName)
      .map(({ lastRun }) => lastRun?.endedAt)
      .join(),
  );
  const runs = useLoaded(() => readRuns(jobName, MOST_RUNS), [jobName, ended]);
  const columns = jobName === undefined ? [COLUMNS[0], JOB_COLUMN, ...COLUMNS.slice(1)] : COLUMNS;
  return html`<${Section} title=${jobName === undefined ? 'Newest runs' : 'Runs'}>
    <${Loadable} of=${runs} show=${(/** @type {readonly RunRow[]} */ rows) => html`<${Table} caption="Runs, newest first" rows=${rows} columns=${columns} keyOf=${(/** @type {RunRow} */ { runId }) => runId} empty="No run has ended yet." />`} />
  <//>`;
}

export function Runs() {
  const { query } = useRoute();
  const jobs = useStore((state) => state.jobs);
  const jobName = query.get('job') || undefined;
  return html`
    <${ViewHead} title="Runs" />
    <div class="tools"><label for="job">Job</label>
      <select id="job" onChange=${(/** @type {Event} */ event) => setQuery({ job: /** @type {HTMLSelectElement} */ (event.target).value })}>
        <option value="" selected=${jobName === undefined}>all jobs</option>
        ${[...jobs.keys()].map((name) => html`<option key=${name} value=${name} selected=${name === jobName}>${name}</option>`)}
      </select></div>
    <${RunList} key=${jobName} jobName=${jobName} />
  `;
}
