/**
 * A process of its own that does one thing to an engine or a repository, so that a test can kill it. What to do comes over
 * standard input, secrets included; what became of it leaves over standard output.
 */
import { backupVms, pruneRepository, restoreVm, synthesizeFull } from '../../../dist/index.js';

const ACTIONS = { backupVms, pruneRepository, restoreVm, synthesizeFull };

let text = '';
for await (const piece of process.stdin) text += piece;
const { action, options } = JSON.parse(text);
try {
  await ACTIONS[action](options);
  console.log('done');
} catch (error) {
  console.log(error.code, error.message);
}
