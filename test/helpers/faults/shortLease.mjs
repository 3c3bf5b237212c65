/**
 * Runs a session of the built library, whose locks have a short lease. Prints its outcome as JSON.
 * The argument is JSON: kind, options, leaseMs.
 */
import { backupImages } from '../../../dist/sessions/backup/backupImages.js';
import { copyPoints } from '../../../dist/sessions/copy/copyPoints.js';
import { pruneRepository } from '../../../dist/sessions/retention/pruneRepository.js';
import { LOCK_TIMES } from '../../../dist/store/lockLease.js';

const SESSIONS = { backup: backupImages, copy: copyPoints, prune: pruneRepository };
const { kind, options, leaseMs } = JSON.parse(process.argv[2]);
Object.assign(LOCK_TIMES, { leaseMs, renewEveryMs: leaseMs / 3 });

async function outcomeOf() {
  try {
    const report = await SESSIONS[kind](options);
    const failure = report.failures?.[0] ?? report.vms?.[0]?.failure;
    return { pointId: report.pointId, code: failure?.code };
  } catch (error) {
    return { code: error.code ?? String(error) };
  }
}

console.log(JSON.stringify(await outcomeOf()));
