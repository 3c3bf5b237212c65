/** Checks for a disk that a restore makes: its name before it is made, its state after that. */
import { type BackupError, EngineError } from '../../core/errors.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { withEvents } from '../../ovirt/engine/eventTexts.ts';
import { pollUntil } from '../../ovirt/poll.ts';

/**
 * Refuses a name that a disk has. The engine allows it, but people and the clean-up find our disks
 * by name.
 *
 * @throws {@link EngineError} `ENGINE_FAULT`
 */
export async function checkDiskNameFree(engine: EngineApi, name: string): Promise<void> {
  const [existing] = await engine.findDisks(name);
  if (!existing) return;
  throw new EngineError('ENGINE_FAULT', `a disk named ${name} exists already`, {
    hint: 'remove it or choose another name with --as-vm',
  });
}

/**
 * Waits until a disk can be used.
 *
 * @throws {@link EngineError} `ENGINE_FAULT`, `ENGINE_PHASE_TIMEOUT`
 */
export async function awaitDisk(
  engine: EngineApi,
  diskId: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const { timings } = engine;
  const failed = async (state: string): Promise<BackupError> =>
    await withEvents(
      engine,
      new EngineError('ENGINE_FAULT', `disk ${name} (${diskId}): ${state}`, {
        hint: 'the event list of the engine tells why',
      }),
    );
  await pollUntil(
    async () => {
      const disk = await engine.disk(diskId);
      if (!disk) throw await failed('the engine has removed it again');
      if (disk.status === 'illegal') throw await failed('the engine calls its image illegal');
      return disk.status === 'ok' ? true : undefined;
    },
    { timings, deadlineMs: timings.diskReadyMs, what: `disk ${name} ready`, signal },
  );
}
