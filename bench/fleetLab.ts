/** The lab's engine with thousands of small VMs, and what is asked of it. For a child process. */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MIB } from '../src/core/units.ts';
import { type Lab, type LabRequest, startLab } from '../lab/src/index.ts';

const TIME_SCALE = 0.002;
const DATA_BYTES = 64 * 1024;
const SMALL_BACKUP = '{ blockSize: 256KiB, workers: 0 }';

let lab: Lab | undefined;
/** Requests that were told already. */
let told = 0;

export interface FleetArgument {
  /** Gets the job file, and the files that it names. */
  readonly folder: string;
  readonly vms: number;
  readonly hosts: number;
  readonly domains: number;
  /** YAML of the limits. */
  readonly limits: string;
  /** YAML of `backup`. @defaultValue small blocks, and no threads */
  readonly backup?: string | undefined;
  /** Of the disk of each VM; no block of them is zero. @defaultValue 64 KiB */
  readonly dataBytes?: number | undefined;
  /** Of the engine's delays. Tickets must outlive the pauses of long reads. @defaultValue 0.002 */
  readonly timeScale?: number | undefined;
}

/** Requests since the last call of {@link takeRequests}. */
export interface RequestCounts {
  /** To the engine: logins, reads and changes. */
  readonly engine: number;
  /** Of these: questions for the state of a backup, transfer, snapshot or checkpoint. */
  readonly polls: number;
  /** To imageio. */
  readonly imageio: number;
}

const POLL = /\/(?:backups|imagetransfers|snapshots)\/[0-9a-f-]{36}$|\/checkpoints$/;

function jobFileOf(access: Lab, { limits, backup = SMALL_BACKUP }: FleetArgument): string {
  return `engines:
  lab: { url: '${access.url}', username: ${access.username}, passwordFile: password, caFile: ca.pem }
repositories:
  main: { path: repository }
jobs:
  nightly:
    engine: lab
    vms: { all: true }
    repository: main
    backup: ${backup}
    limits: ${limits}
    retry: { times: 0 }
stateFolder: state
`;
}

/** Starts the engine, and writes a job file for all of its VMs. */
export async function start(given: FleetArgument): Promise<void> {
  const { folder, vms, hosts, domains, dataBytes = DATA_BYTES, timeScale = TIME_SCALE } = given;
  const sizeBytes = Math.max(MIB, dataBytes);
  const storageDomains = Array.from({ length: domains }, (_, k) => ({ name: `domain${k}` }));
  lab = await startLab({ timeScale, hosts, storageDomains });
  for (let k = 0; k < vms; k++) {
    const name = `vm${String(k).padStart(5, '0')}`;
    const disk = `${name}_sys`;
    const storageDomain = `domain${Math.floor(k / hosts) % domains}`;
    const vm = lab.addVm({ name, disks: [{ name: disk, sizeBytes, storageDomain }] });
    vm.disk(disk).write(0, randomBytes(dataBytes));
  }
  await writeFile(path.join(folder, 'ca.pem'), lab.caPem);
  await writeFile(path.join(folder, 'password'), `${lab.password}\n`, { mode: 0o600 });
  await writeFile(path.join(folder, 'ovirt-cbt.yaml'), jobFileOf(lab, given));
}

function isPoll({ method, path: place }: LabRequest): boolean {
  return method === 'GET' && POLL.test(place);
}

export async function takeRequests(): Promise<RequestCounts> {
  const requests = lab?.requests.slice(told) ?? [];
  told += requests.length;
  const engine = requests.filter(({ server }) => server === 'engine');
  return await Promise.resolve({
    engine: engine.length,
    polls: engine.filter(isPoll).length,
    imageio: requests.length - engine.length,
  });
}

export async function stop(): Promise<void> {
  const left = lab?.leftovers() ?? [];
  await lab?.close();
  if (left.length > 0) throw new Error(`left on the engine: ${left.join(', ')}`);
}
