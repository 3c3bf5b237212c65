/** Metrics of all jobs in the text form of Prometheus, from what the jobs remember. */
import { packageVersion } from '../../core/installation.ts';
import type { JobState, VmState } from '../jobState.ts';
import { type Labels, type MetricFamily, metricText, type Sample } from './metricText.ts';

const MS = 1000;
const RUN_OUTCOMES = ['success', 'warning', 'failure'] as const;
const VM_OUTCOMES = [...RUN_OUTCOMES, 'notStarted'] as const;

/** Value of a metric; undefined where a job or a VM has none. */
type ValueOf<T> = (state: T) => number | boolean | undefined;

/** Unix time in seconds of an ISO 8601 text; undefined when there is none. */
function unixSeconds(time: string | undefined): number | undefined {
  const ms = Date.parse(time ?? '');
  return Number.isNaN(ms) ? undefined : ms / MS;
}

function sampleOf(labels: Labels, value: number | boolean | undefined): Sample[] {
  return value === undefined ? [] : [{ labels, value: Number(value) }];
}

/** Not `job`: Prometheus gives that label itself, to each target that it reads. */
function jobLabels({ jobName }: JobState): Labels {
  return { backup_job: jobName };
}

/** Two VMs of a job may have the same name. */
function vmLabels({ jobName }: JobState, { vmName, vmId }: VmState): Labels {
  return { backup_job: jobName, vm: vmName, vm_id: vmId };
}

function lastDurationSeconds({ lastRun }: JobState): number | undefined {
  const startedAt = unixSeconds(lastRun?.startedAt);
  const endedAt = unixSeconds(lastRun?.endedAt);
  if (startedAt === undefined || endedAt === undefined) return undefined;
  return Math.max(0, endedAt - startedAt);
}

type JobMetric = readonly [
  name: string,
  type: MetricFamily['type'],
  help: string,
  valueOf: ValueOf<JobState>,
];

const JOB_METRICS: readonly JobMetric[] = [
  [
    'last_run_timestamp_seconds',
    'gauge',
    'End of the last run of the job.',
    ({ lastRun }) => unixSeconds(lastRun?.endedAt),
  ],
  [
    'last_run_success',
    'gauge',
    '1 when the last run of the job had no failure, otherwise 0.',
    ({ lastRun }) => lastRun && lastRun.outcome !== 'failure',
  ],
  ['last_run_duration_seconds', 'gauge', 'Duration of the last run.', lastDurationSeconds],
  [
    'job_last_success_timestamp_seconds',
    'gauge',
    'End of the last run of the job without failure.',
    ({ lastSuccessAt }) => unixSeconds(lastSuccessAt),
  ],
  [
    'run_in_progress',
    'gauge',
    '1 while a run of the job has started and not ended, otherwise 0.',
    ({ openRun }) => openRun !== undefined,
  ],
  [
    'run_started_timestamp_seconds',
    'gauge',
    'Start of the run that is in progress.',
    ({ openRun }) => unixSeconds(openRun?.startedAt),
  ],
  [
    'missed_slots_total',
    'counter',
    'Times of the schedule for which no run was started.',
    ({ missedSlots }) => missedSlots,
  ],
  [
    'notification_failures_total',
    'counter',
    'Notifications that could not be delivered.',
    ({ failedNotifications }) => failedNotifications,
  ],
];

type VmMetric = readonly [name: string, help: string, valueOf: ValueOf<VmState>];

const VM_METRICS: readonly VmMetric[] = [
  [
    'last_success_timestamp_seconds',
    'End of the last session of the VM that made a restore point.',
    ({ lastSuccessAt }) => unixSeconds(lastSuccessAt),
  ],
  [
    'vm_last_duration_seconds',
    'Duration of the last session that made a restore point.',
    ({ lastDurationSeconds: seconds }) => seconds,
  ],
  [
    'vm_last_read_bytes',
    'Bytes that the last session read from the disks.',
    ({ lastReadBytes }) => lastReadBytes,
  ],
  [
    'vm_last_stored_bytes',
    'Bytes of blocks that the last session stored.',
    ({ lastStoredBytes }) => lastStoredBytes,
  ],
  [
    'vm_last_point_full',
    '1 when the newest restore point is a full, 0 for an increment.',
    ({ lastPointType }) => lastPointType && lastPointType === 'full',
  ],
  [
    'vm_damaged',
    '1 when verify found damage in the latest restore point, otherwise 0.',
    ({ isDamaged }) => isDamaged,
  ],
  [
    'vm_locked_until_timestamp_seconds',
    'Until then the newest restore point is locked against deletion.',
    ({ lockedUntil }) => unixSeconds(lockedUntil),
  ],
];

function jobFamily(
  states: readonly JobState[],
  [name, type, help, valueOf]: JobMetric,
): MetricFamily {
  const samples = states.flatMap((state) => sampleOf(jobLabels(state), valueOf(state)));
  return { name: `ovirt_cbt_${name}`, type, help, samples };
}

function vmFamily(states: readonly JobState[], [name, help, valueOf]: VmMetric): MetricFamily {
  const samples = states.flatMap((state) =>
    state.vms.flatMap((vm) => sampleOf(vmLabels(state, vm), valueOf(vm))),
  );
  return { name: `ovirt_cbt_${name}`, type: 'gauge', help, samples };
}

/** One sample per possible outcome: 1 for the real one, 0 for the others. */
function outcomeSamples(labels: Labels, names: readonly string[], outcome: string): Sample[] {
  return names.map((name) => ({
    labels: { ...labels, outcome: name },
    value: Number(name === outcome),
  }));
}

function outcomeFamilies(states: readonly JobState[]): MetricFamily[] {
  return [
    {
      name: 'ovirt_cbt_last_run_outcome',
      type: 'gauge',
      help: '1 for the outcome of the last run, 0 for the others.',
      samples: states.flatMap((state) =>
        state.lastRun ? outcomeSamples(jobLabels(state), RUN_OUTCOMES, state.lastRun.outcome) : [],
      ),
    },
    {
      name: 'ovirt_cbt_vm_last_outcome',
      type: 'gauge',
      help: '1 for the outcome of the VM in the last run, 0 for the others.',
      samples: states.flatMap((state) =>
        state.vms.flatMap((vm) => outcomeSamples(vmLabels(state, vm), VM_OUTCOMES, vm.lastOutcome)),
      ),
    },
  ];
}

/**
 * The metrics of all jobs.
 *
 * @param states - of the jobs, in any order.
 * @returns text in the form of Prometheus, version 0.0.4, with a line end at the end.
 */
export function formatMetrics(states: readonly JobState[], now: Date): string {
  const ordered = states.toSorted((a, b) => (a.jobName < b.jobName ? -1 : 1));
  return metricText([
    {
      name: 'ovirt_cbt_build_info',
      type: 'gauge',
      help: 'Version of the program that wrote these metrics; the value is 1.',
      samples: [{ labels: { version: packageVersion() }, value: 1 }],
    },
    {
      name: 'ovirt_cbt_metrics_timestamp_seconds',
      type: 'gauge',
      help: 'Time at which these metrics were written.',
      samples: [{ labels: {}, value: now.getTime() / MS }],
    },
    ...JOB_METRICS.map((metric) => jobFamily(ordered, metric)),
    ...VM_METRICS.map((metric) => vmFamily(ordered, metric)),
    ...outcomeFamilies(ordered),
  ]);
}
