/**
 * One action on an engine or a repository, in a process that a test can kill. Standard input has
 * the action and its options, secrets included. Standard output gets the result.
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
