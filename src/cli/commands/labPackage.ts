/** Loads the package `ovirt-cbt-lab`, which holds the simulated engine. */
import type { Lab, LabOptions } from 'ovirt-cbt-lab';
import { errnoOf, UsageError } from '../../core/errors.ts';

type LabPackage = typeof import('ovirt-cbt-lab');

/** @throws {@link UsageError} `TOOL_MISSING` when the package is not installed */
export async function loadLab(): Promise<LabPackage> {
  try {
    return await import('ovirt-cbt-lab');
  } catch (error) {
    if (errnoOf(error) !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new UsageError('TOOL_MISSING', 'the package ovirt-cbt-lab is not installed', {
      cause: error,
      hint: 'make its file in a clone with "npm pack -w lab", then run "npm install FILE"',
    });
  }
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` for a port that cannot be used */
export async function startLab(lab: LabPackage, options: LabOptions): Promise<Lab> {
  try {
    return await lab.startLab(options);
  } catch (error) {
    if (!(error instanceof lab.LabError)) throw error;
    const { message, hint } = error;
    throw new UsageError('USAGE_INVALID_OPTION', message, { cause: error, hint });
  }
}
