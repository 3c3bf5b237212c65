/**
 * Compiled, never run: the type of an event tells which fields it has. A line that is marked as an
 * error and compiles is an error of the type check.
 */
import type { BackupVmsOptions, ProgressEvent } from '../../src/index.ts';

export function describe(event: ProgressEvent): string {
  const session: string = `${event.sessionId} ${event.vmName} ${event.vmId}`;
  // @ts-expect-error -- only some events are about a disk
  void event.diskId;
  switch (event.type) {
    case 'phase':
      return `${session} ${event.phase}`;
    case 'waiting':
      return `${event.waitsFor} ${event.reason}`;
    case 'resumed':
      return session;
    case 'disksPlanned':
      return `${event.disks.length}`;
    case 'diskStarted':
      return `${event.alias} ${event.mode ?? ''} ${event.sizeBytes} ${event.dataBytes ?? ''}`;
    case 'diskProgress':
      // @ts-expect-error -- only the end of a disk has a result
      void event.result;
      return `${event.diskId} ${event.doneBytes} ${event.readBytes} ${event.sentBytes ?? ''}`;
    case 'diskEnded':
      return `${event.diskId} ${event.result} ${event.doneBytes}`;
    case 'containerProgress':
      return `${event.fileName} ${event.checkedBlocks} ${event.totalBlocks}`;
    case 'ended':
      return event.result;
    default:
      return event satisfies never;
  }
}

export const options: Pick<BackupVmsOptions, 'onProgress'> = {
  onProgress: (event) => void describe(event),
};

// @ts-expect-error -- the option of before is gone
export const gone: keyof BackupVmsOptions = 'onDiskStart';
