/** Does something when a session starts to read or write a disk. */
import type { ProgressEvent } from '../../src/sessions/shared/progress.ts';

export function onDiskStart(act: () => void): (event: ProgressEvent) => void {
  return (event) => {
    if (event.type === 'diskStarted') act();
  };
}
