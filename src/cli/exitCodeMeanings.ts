/** Exit codes as the help and the manual page tell them. */
export const EXIT_CODE_MEANINGS: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'done'],
  [1, 'failed'],
  [2, 'wrong usage'],
  [
    3,
    'done, but with an error in the session log, or with a warning under --strict, or some VMs failed',
  ],
  [10, 'repository not found'],
  [11, 'repository locked, or the job or the daemon runs already, or the queue has a planner'],
  [12, 'the engine or the queue refuses the login or lacks rights'],
  [13, 'verify found damage'],
  [14, 'engine, host or queue cannot be reached or is not trusted'],
  [70, 'internal error'],
  [129, 'stopped by SIGHUP (the terminal is gone)'],
  [130, 'stopped by Ctrl-C'],
  [143, 'stopped by SIGTERM'],
];
