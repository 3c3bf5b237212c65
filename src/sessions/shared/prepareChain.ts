/** Prepares the folder of a VM for a session. */
import type { SessionMessage } from '../../core/messages.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import { clearObsolete } from '../../repository/retention/obsoleteFiles.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import type { VmIdentity } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';

type Note = (message: SessionMessage) => void;

/**
 * Cleans up files of a stopped session and loads the chain metadata. The caller must hold the lock.
 */
export async function prepareChain(
  folder: VmFolder,
  vm: VmIdentity,
  codecs: BlockCodecs,
  note: Note,
): Promise<ChainMetadata> {
  for (const message of await folder.removeLeftovers()) note(message);
  const known = await folder.readMetadata();
  if (!known) {
    await folder.writeMetadata({ vm, points: [] });
    return { vm, points: [] };
  }
  const cleared = await clearObsolete(folder, known);
  const { metadata, messages } = await folder.adoptOrphans(cleared.metadata, codecs);
  for (const message of [...cleared.messages, ...messages]) note(message);
  return metadata;
}
