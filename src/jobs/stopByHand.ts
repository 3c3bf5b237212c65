/** The stop of a run by a user. Such a run is over: the daemon does not continue it. */
import { CancelledError } from '../core/errors.ts';

/** The reason with which the signal of the run is aborted. */
export function stopByHand(): CancelledError {
  return new CancelledError('CANCELLED', 'the run was stopped by hand', {
    hint: 'start the job again when its VMs are to be backed up',
    details: { isByHand: true },
  });
}

/** True after {@link stopByHand}, also when the daemon is stopped later. */
export function isStoppedByHand({ reason }: AbortSignal): boolean {
  return reason instanceof CancelledError && reason.details['isByHand'] === true;
}
