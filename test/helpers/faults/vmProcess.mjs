/**
 * One action on an engine or a repository, in a process that a test can kill. Standard input has
 * the action and its options, secrets included. Standard output gets the result.
 */
import {
  backupVms,
  openVm,
  pruneRepository,
  restoreVm,
  synthesizeFull,
} from '../../../dist/index.js';
import { THREADED_FROM } from '../../../dist/ovirt/imageio/rangeThreads.js';

/** Pipes all disks to nowhere. */
async function pipeVm(options) {
  const backup = await openVm(options);
  try {
    for (const disk of backup.disks) await disk.pipe({ block: () => {}, zero: () => {} });
    await backup.finish();
  } finally {
    await backup.close();
  }
}

const ACTIONS = { backupVms, pipeVm, pruneRepository, restoreVm, synthesizeFull };

let text = '';
for await (const piece of process.stdin) text += piece;
const { action, options, threadedFromBytes = THREADED_FROM.bytes } = JSON.parse(text);
THREADED_FROM.bytes = threadedFromBytes;
try {
  await ACTIONS[action](options);
  console.log('done');
} catch (error) {
  console.log(error.code, error.message);
}
