/**
 * Texts for a second Ctrl-C, which ends the process at once: the things that may be left, and how
 * they are cleaned up.
 */

/** A word that a shell takes as it is. */
function shellWord(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function cleanupCommand(vm: string, repository: string): string {
  return `"ovirt-cbt cleanup --vm ${shellWord(vm)} --repo ${shellWord(repository)}"`;
}

/** @param vm - the only VM of the command; undefined for a selection of VMs. */
export function leftByBackup(vm: string | undefined, repository: string): string {
  if (vm === undefined) {
    return `backups of the selected VMs may still be open on the engine; the next session of each VM or ${cleanupCommand('NAME', repository)} ends them`;
  }
  return `a backup of ${vm} may still be open on the engine; the next session or ${cleanupCommand(vm, repository)} ends it`;
}

/** @param journal - repository with the journal; undefined for the one in the temporary folder. */
export function leftByStream(vm: string, journal: string | undefined): string {
  const cleanup = journal === undefined ? '' : ` or ${cleanupCommand(vm, journal)}`;
  return `a backup of ${vm} may still be open on the engine; the next stream of the VM${cleanup} ends it`;
}

export function leftByRestoreVm(vm: string, asVm: string, repository: string): string {
  return `the new VM ${asVm} or its disks may be left on the engine; ${cleanupCommand(vm, repository)} removes them`;
}

export function leftByRestoreImages(output: string): string {
  return `an unfinished file "….partial" may be left in ${output}; delete it`;
}

/** @param output - folder for copied files; undefined when nothing is copied. */
export function leftByFiles(temporary: string, output: string | undefined): string {
  const partial = output === undefined ? '' : `, and a folder ".ovirt-cbt-files-…" in ${output}`;
  return `a folder "ovirt-cbt-files-…" may be left in ${temporary}${partial}; delete it`;
}

/** Of commands that write containers: prune, synthesize, backup of images. */
export const LEFT_IN_REPOSITORY =
  'an unfinished file may be left in the repository; the next session of the VM removes it';
