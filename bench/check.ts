/** `npm run bench:check`: judges the last results of the suite, quick or full. */
import { readFile } from 'node:fs/promises';
import { judge } from './judge.ts';
import { LIMITS } from './limits.ts';
import { LAST_RUN, type RunResult } from './report.ts';

async function readLastRun(): Promise<RunResult> {
  try {
    return JSON.parse(await readFile(LAST_RUN, 'utf8')) as RunResult;
  } catch (error) {
    throw new Error('there are no results to judge: run "npm run bench" first', { cause: error });
  }
}

const verdicts = judge((await readLastRun()).topics, LIMITS);
for (const { text } of verdicts) process.stdout.write(`${text}\n`);
if (verdicts.some((verdict) => !verdict.isKept)) process.exitCode = 1;
