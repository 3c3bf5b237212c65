/** `npm run bench:check`: judges the last results of the suite, quick or full. */
import { readFile } from 'node:fs/promises';
import { type Floor, judge } from './judge.ts';
import { LAST_RUN, type RunResult } from './report.ts';

const FLOORS: readonly Floor[] = [
  {
    title: 'streams against bare loop',
    atLeast: 0.85,
    why: 'the streams cost more than they may; profile the stages (npm run bench -- --only ceiling)',
  },
  {
    // Far below the expected ratio: we have two threads more than the peer, so other load slows us
    // more.
    title: 'full without start-up against lz4 -1',
    atLeast: 0.25,
    why: 'a full has become much slower than LZ4 alone; look at the stages (npm run bench -- --only stages)',
  },
];

async function readLastRun(): Promise<RunResult> {
  try {
    return JSON.parse(await readFile(LAST_RUN, 'utf8')) as RunResult;
  } catch (error) {
    throw new Error('there are no results to judge: run "npm run bench" first', { cause: error });
  }
}

const verdicts = judge((await readLastRun()).topics, FLOORS);
for (const { text } of verdicts) process.stdout.write(`${text}\n`);
if (verdicts.some((verdict) => !verdict.isKept)) process.exitCode = 1;
