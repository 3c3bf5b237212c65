/** Things that run.sh prepares: paths of installed software, and the table of results. */
import { appendFileSync } from 'node:fs';

/** @throws an Error when the variable is not set: the suites need run.sh */
export function env(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; start with test/interop/run.sh`);
  return value;
}

/** Adds a row to the table of peers and scenarios. */
export function addRow(peer: string, scenario: string, isGood: boolean, details = ''): void {
  const cells = [peer, scenario, isGood ? 'passed' : 'FAILED', details];
  appendFileSync(env('INTEROP_TABLE'), `${cells.join('\t')}\n`);
}
