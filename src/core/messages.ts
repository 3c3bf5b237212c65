/**
 * Messages of a session: outcomes that the operator should know, each with a stable code, one text
 * and one resolution. They are events, not errors. Warnings change the exit code only under
 * `--strict`.
 */

/** `error` gives exit code 3; `warn` does so only under `--strict`; `info` never does. */
export type MessageLevel = 'info' | 'warn' | 'error';

/** One message of a session, with its fields filled in. */
export interface SessionMessage {
  /** One of {@link MESSAGE_CODES}. */
  readonly code: string;
  readonly level: MessageLevel;
  /** The event, in one line. */
  readonly text: string;
  /** The advice, in one line; `None.` when there is nothing to do. */
  readonly resolution: string;
}

type Fields = Readonly<Record<string, string | number>>;

interface Template {
  readonly level: MessageLevel;
  readonly text: string;
  readonly resolution: string;
}

/** All codes. The numbering is that of docs/errors.md. */
export const MESSAGE_CODES = [
  'CBT-101',
  'CBT-102',
  'CBT-103',
  'CBT-104',
  'CBT-105',
  'CBT-106',
  'CBT-107',
  'CBT-108',
  'CBT-109',
  'CBT-113',
  'DSK-110',
  'DSK-111',
  'DSK-112',
  'ENV-801',
  'FLT-951',
  'FLT-952',
  'FLT-953',
  'FLT-954',
  'FLT-955',
  'FLT-956',
  'FLT-957',
  'FLT-958',
  'FRZ-401',
  'JOB-601',
  'JOB-602',
  'JOB-603',
  'JOB-604',
  'JOB-605',
  'JOB-606',
  'JOB-607',
  'JOB-608',
  'JOB-610',
  'JOB-620',
  'JOB-621',
  'JOB-622',
  'JOB-623',
  'JOB-624',
  'JOB-625',
  'JOB-626',
  'JOB-627',
  'JOB-628',
  'JOB-629',
  'JOB-630',
  'JOB-631',
  'JOB-632',
  'JOB-633',
  'JOB-634',
  'JOB-635',
  'JOB-636',
  'JOB-637',
  'JOB-638',
  'JOB-639',
  'JOB-640',
  'JOB-641',
  'JOB-650',
  'NIC-701',
  'NIC-702',
  'NIC-703',
  'NTF-901',
  'NTF-902',
  'NTF-903',
  'NTF-904',
  'REPO-501',
  'REPO-502',
  'REPO-503',
  'REPO-505',
  'REPO-506',
  'REPO-507',
  'REPO-508',
  'REPO-511',
  'REPO-512',
  'REPO-514',
  'REPO-515',
  'REPO-516',
  'REPO-517',
  'REPO-518',
  'REPO-519',
  'REPO-520',
  'REPO-521',
  'REPO-522',
  'REPO-523',
  'REPO-524',
  'REPO-525',
  'REPO-530',
  'REPO-531',
  'REPO-540',
  'REPO-541',
  'REPO-542',
  'REPO-543',
  'REPO-550',
  'REPO-551',
  'REPO-552',
  'REPO-560',
  'REPO-561',
  'REPO-562',
  'SNP-201',
  'SNP-202',
  'SNP-203',
  'SNP-204',
  'SNP-205',
  'XFER-301',
  'XFER-302',
  'XFER-303',
  'XFER-304',
  'XFER-305',
  'XFER-306',
  'XFER-307',
  'XFER-308',
] as const;

export type MessageCode = (typeof MESSAGE_CODES)[number];

/** Texts by code; braces are fields. */
const TEMPLATES: Readonly<Record<MessageCode, Template>> = {
  'CBT-101': {
    level: 'warn',
    text: 'Disk {alias} ({id}) of {vm} is stored as RAW, so oVirt holds no change map for it. The whole disk ({size}) is read; only blocks that differ from restore point {rp} are kept.',
    resolution:
      'Convert the disk to QCOW2 ("convert disk" in the portal, or restore it with --disk-format cow), then switch on incremental backup in its settings.',
  },
  'CBT-102': {
    level: 'warn',
    text: 'Change tracking is switched off for disk {alias} ({id}) of {vm}. The whole disk is read and compared with restore point {rp}.',
    resolution:
      'Enable incremental backup in the settings of the disk. The next session creates the first checkpoint; the session after it reads only changes.',
  },
  'CBT-103': {
    level: 'warn',
    text: 'The engine no longer knows checkpoint {checkpoint} from {date}. All disks are read whole and compared with restore point {rp}.',
    resolution:
      'Nothing to repair: change tracking starts again with this session. If this message comes again, find out what removes checkpoints: another product, or a snapshot restore.',
  },
  'CBT-104': {
    level: 'warn',
    text: 'The engine marks checkpoint {checkpoint} as invalid, so it is not used. All disks are read whole and compared. The checkpoint is removed after this session succeeds.',
    resolution: 'Nothing to repair. Avoid committing snapshots between backups.',
  },
  'CBT-105': {
    level: 'warn',
    text: 'oVirt could not open the change map of disk {alias} ({id}): its bitmap is missing or is still marked as in use. The backup was started again without a checkpoint. Every disk of {vm} is read whole and compared.',
    resolution:
      'Let this session finish. If this message comes again for the same disk, the VM or its host was probably not shut down cleanly: check the logs of the host and of the storage.',
  },
  'CBT-106': {
    level: 'info',
    text: 'Disk {alias} ({id}) was not part of restore point {rp}; it gets a full image inside this increment.',
    resolution: 'None.',
  },
  'CBT-107': {
    level: 'warn',
    text: 'The engine offered incremental data for disk {alias} ({id}), but the request for its change map was refused. The whole disk is read instead.',
    resolution:
      'Update ovirt-imageio and the engine. If the message stays, report it with the log of this session.',
  },
  'CBT-108': {
    level: 'error',
    text: 'Audit of disk {alias} ({id}): the engine calls {m} sampled blocks unchanged, but {n} of them differ from restore point {rp}. The change map is not used; the whole disk is read and compared.',
    resolution:
      'Keep the new restore point and run "ovirt-cbt verify". Then look for writes from outside the VM: offline edits, or the disk attached to another machine. Increments since the last full may lack changes.',
  },
  'CBT-109': {
    level: 'warn',
    text: 'Disk {alias} ({id}) is not part of checkpoint {checkpoint}: {cause}. The whole disk is read and compared with restore point {rp}.',
    resolution: 'Nothing to repair: change tracking of this disk starts again with this session.',
  },
  'CBT-113': {
    level: 'warn',
    text: 'Disk {alias} ({id}) is read whole and not from checkpoint {checkpoint}: {cause}.',
    resolution:
      'Nothing to do when the cause is expected. The sink gets every block of the disk this time.',
  },
  'DSK-110': {
    level: 'info',
    text: 'Disk {alias} ({id}) changed its size from {from} to {to} since restore point {rp}; it was read whole and compared.',
    resolution: 'None.',
  },
  'DSK-111': {
    level: 'warn',
    text: 'Disk {alias} ({id}) of restore point {rp} is not among the disks of this session; the new restore point does not hold it.',
    resolution:
      'Nothing to do if the disk was removed. {otherwise} Older restore points keep the disk.',
  },
  'DSK-112': {
    level: 'warn',
    text: 'Image {path} was modified while it was read; the restore point may mix older and newer blocks of disk {alias} ({id}).',
    resolution: 'Back up a snapshot of the image, or first stop the program that writes to it.',
  },
  'ENV-801': {
    level: 'warn',
    text: 'The native build of lz4 could not be loaded ({reason}). The built-in WebAssembly codec is used. It takes about 1.4 times as long to compress and twice as long to decompress.',
    resolution:
      'Nothing has to be done. For full speed, install again where a C++ compiler, make and Python are installed. After an upgrade of Node.js run "npm rebuild lz4".',
  },
  'FLT-951': {
    level: 'warn',
    text: 'Sessions of job {job} wait, because no worker {who} is connected to the queue.',
    resolution: 'Start "ovirt-cbt worker" on a machine, or look for the reason in its log.',
  },
  'FLT-952': {
    level: 'warn',
    text: 'The session of {vm} was lost with worker {worker}. It is sent to the queue again ({n} of {max} times).',
    resolution: 'Look on the machine of the worker for the reason why it ended.',
  },
  'FLT-953': {
    level: 'info',
    text: 'Worker {worker} was stopped during the session of {vm}. The session is sent to the queue again.',
    resolution: 'None.',
  },
  'FLT-954': {
    level: 'warn',
    text: 'The server of the queue ({place}) cannot be reached. Sessions go on, and their results follow.',
    resolution: 'Check the server and the network. The connection is tried again all the time.',
  },
  'FLT-955': {
    level: 'info',
    text: 'The server of the queue ({place}) is reached again after {span}.',
    resolution: 'None.',
  },
  'FLT-956': {
    level: 'warn',
    text: 'The server of the queue ({place}) may drop keys when its memory is full (maxmemory-policy {policy}).',
    resolution: 'Set maxmemory-policy to noeviction. Sessions whose keys are dropped run twice.',
  },
  'FLT-957': {
    level: 'error',
    text: 'The planner has version {planner}, this worker has {worker}. The worker takes no session.',
    resolution: 'Install the same version on all machines of the fleet.',
  },
  'FLT-958': {
    level: 'warn',
    text: 'Worker {worker} could not begin the session of {vm}: {reason} ({code}). The session is sent to the queue again.',
    resolution: 'Mend the cause on the machine of that worker. It takes no session for a while.',
  },
  'FRZ-401': {
    level: 'warn',
    text: 'Guest file systems of {vm} were not frozen: {reason}. The restore point is crash-consistent.',
    resolution:
      'Install and start the guest agent. With --require-consistency this is an error, where the engine supports it.',
  },
  'JOB-601': {
    level: 'warn',
    text: 'Disk {alias} ({id}) of {vm} is left out: {cause}, which the backup API cannot read.',
    resolution:
      'To stop this message, exclude the disk with --exclude-disk or "excludeDisks" of the job. Or back it up from inside the guest.',
  },
  'JOB-602': {
    level: 'error',
    text: '{vm} is in state {state}; oVirt backs up only running or stopped VMs.',
    resolution: 'Try again when the VM is up or down.',
  },
  'JOB-603': {
    level: 'warn',
    text: 'The repository already holds another VM named {vm}, with the id {old}. The VM of this session has the id {id}, so it gets a chain of its own. The old chain is kept.',
    resolution:
      'Nothing to do if the VM was made again. Commands that read the repository need the id now, because {vm} names two VMs there.',
  },
  'JOB-604': {
    level: 'error',
    text: '{vm} runs the hosted engine and cannot be backed up through its own API.',
    resolution: 'Use engine-backup.',
  },
  'JOB-605': {
    level: 'warn',
    text: 'The engine has version {version}. With it, a finished backup may vanish before its result is seen.',
    resolution: 'Update the engine to 4.4.7 or newer.',
  },
  'JOB-606': {
    level: 'info',
    text: 'A session that was stopped left {what} on the engine. It was cleaned up.',
    resolution: 'None.',
  },
  'JOB-607': {
    level: 'info',
    text: 'A session of {vm} is running, or was stopped and left something to clean up.',
    resolution: 'None.',
  },
  'JOB-608': {
    level: 'info',
    text: '{vm} has no disk that can be backed up. The restore point holds only the configuration of the VM.',
    resolution: 'None.',
  },
  'JOB-610': {
    level: 'warn',
    text: 'Excluded VM {pattern} does not exist on the engine.',
    resolution: 'Correct the name if a letter is wrong. Remove it if the VM is gone.',
  },
  'JOB-620': {
    level: 'warn',
    text: 'Job {job} selects no longer: {vms}. Earlier runs have backed them up.',
    resolution:
      'Nothing, when they were removed on purpose: their restore points stay. Otherwise look at their names and tags, and at the selection of the job.',
  },
  'JOB-621': {
    level: 'warn',
    text: 'The window of job {job} has ended. Not started: {n} ({vms}).',
    resolution:
      'Start the job earlier, end its window later, or run more sessions at once (limits.parallelVms).',
  },
  'JOB-622': {
    level: 'info',
    text: 'VMs that failed are tried again ({n} of {max} times): {vms}.',
    resolution: 'None.',
  },
  'JOB-623': {
    level: 'warn',
    text: 'VMs that failed are not tried again, because the window of job {job} ends: {vms}.',
    resolution: 'End the window later, or run the job again with --only for these VMs.',
  },
  'JOB-624': {
    level: 'error',
    text: 'Job {job} starts no more VMs: {reason} ({code}).',
    resolution: 'Correct the cause, then run the job again with --only for the VMs that are left.',
  },
  'JOB-625': {
    level: 'error',
    text: 'Step "{step}" of job {job} failed: {reason} ({code}).',
    resolution: '{hint}',
  },
  'JOB-626': {
    level: 'info',
    text: 'New in job {job}: {vms}.',
    resolution: 'None.',
  },
  'JOB-627': {
    level: 'warn',
    text: 'The report of the run of job {job} is not in the history of the repository ({reason}).',
    resolution: 'Check the place of the repository. Restore points are not concerned.',
  },
  'JOB-628': {
    level: 'warn',
    text: 'The state of job {job} could not be written ({reason}).',
    resolution:
      'Check the space and the permissions of the state folder. The run is not concerned.',
  },
  'JOB-629': {
    level: 'warn',
    text: 'The metrics could not be written to {file} ({reason}).',
    resolution: 'Check that the folder exists, and that this user can write to it.',
  },
  'JOB-630': {
    level: 'warn',
    text: 'The state of job {job} is damaged ({reason}). It was moved to {file}, and the job starts with a new one.',
    resolution:
      'Nothing to do for backups: the past is in the repository. Times that were missed before are not told any more.',
  },
  'JOB-631': {
    level: 'warn',
    text: 'Job {job} missed {count} of its times, the newest at {slot}: {cause}.',
    resolution:
      'Run the job now with "ovirt-cbt run {job}" if you cannot wait until its next time, {next}.',
  },
  'JOB-632': {
    level: 'warn',
    text: 'Job {job} starts late, {late} after {slot}: {cause}.',
    resolution:
      'Nothing to do once. If it comes again, find out what stops the daemon or the machine.',
  },
  'JOB-633': {
    level: 'info',
    text: 'Job {job} continues its run {run} of {slot}, which was stopped; {count} of its VMs are done.',
    resolution: 'None.',
  },
  'JOB-634': {
    level: 'error',
    text: 'Run {run} of job {job} was stopped and is not continued: {cause}. {count} of its VMs have a restore point.',
    resolution: 'Find out why the daemon stopped. The next run backs up all VMs.',
  },
  'JOB-635': {
    level: 'error',
    text: 'The job file was not loaded again, and the jobs stay as they were: {reason}.',
    resolution: 'Correct the file, check it with "ovirt-cbt check-config", and send SIGHUP again.',
  },
  'JOB-636': {
    level: 'info',
    text: 'The job file was loaded again. Number of jobs: {count}.',
    resolution: 'None.',
  },
  'JOB-637': {
    level: 'error',
    text: 'The state of job {job} could not be read or written: {reason}. The job runs nevertheless.',
    resolution:
      'Correct the cause. If the daemon restarts before, a time of the schedule may run twice.',
  },
  'JOB-638': {
    level: 'error',
    text: 'Job {job} failed: {reason} ({code})',
    resolution: '{hint}',
  },
  'JOB-639': {
    level: 'warn',
    text: 'The clock of this machine was put back by {span}.',
    resolution:
      'Nothing to do if the clock is right now. Times of a schedule that have run do not run again.',
  },
  'JOB-640': {
    level: 'info',
    text: 'The plan of job {job} failed: {reason} ({code}). It is tried again ({n} of {max} times).',
    resolution: 'None.',
  },
  'JOB-641': {
    level: 'warn',
    text: 'Run {run} of job {job} was stopped by hand.',
    resolution:
      'Start the job again, if its VMs need a restore point before its next time. The daemon does not continue this run.',
  },
  'JOB-650': {
    level: 'warn',
    text: 'The engine tells no hosts of the VMs of job {job}, so "limits.perHost" has no effect.',
    resolution:
      'Give the user of the engine a right to see hosts, such as the role ReadOnlyAdmin. Or remove the limit.',
  },
  'NIC-701': {
    level: 'warn',
    text: '{vm} ({id}), which was backed up, still exists on this engine. The restored VM has new MAC addresses: {macs}.',
    resolution:
      'Adapt DHCP reservations and guest settings that name the old addresses. With --keep-macs the addresses of the restore point are kept.',
  },
  'NIC-702': {
    level: 'warn',
    text: 'The restored VM has MAC addresses of {vm} ({id}), which still exists on this engine: {macs}.',
    resolution:
      'Never run both VMs in one network at the same time. With --new-macs the engine chooses new addresses.',
  },
  'NIC-703': {
    level: 'warn',
    text: 'Network card {name} of the restored VM does not have its saved MAC address {saved} ({reason}). It has {mac}.',
    resolution:
      'Find the VM that has the address, or a MAC pool that allows it. Then set it in the network settings of the VM.',
  },
  'NTF-901': {
    level: 'warn',
    text: '{receiver} was not told about job {job} by mail over {target}: {reason}.',
    resolution: '{hint} Then run "ovirt-cbt notify-test {job}".',
  },
  'NTF-902': {
    level: 'warn',
    text: '{receiver} was not told about job {job} by the webhook at {target}: {reason}.',
    resolution: '{hint} Then run "ovirt-cbt notify-test {job}".',
  },
  'NTF-903': {
    level: 'warn',
    text: '{receiver} was not told about job {job} by the command {target}: {reason}.',
    resolution: '{hint} Then run "ovirt-cbt notify-test {job}".',
  },
  'NTF-904': {
    level: 'warn',
    text: 'The mail about job {job} did not reach all addresses of {receiver}. The server {target} refused these: {addresses}.',
    resolution: 'Correct or remove these addresses in the job file.',
  },
  'REPO-501': {
    level: 'error',
    text: 'Parent restore point {rp} failed its check ({reason}). A new full starts a new chain; nothing is added to the old chain.',
    resolution: 'Run "ovirt-cbt verify" and restore the damaged file from a copy if there is one.',
  },
  'REPO-502': {
    level: 'warn',
    text: '{n} damaged blocks were found in restore point {rp}. They are read again from the live disk and stored in this increment. Older points that need them stay damaged.',
    resolution:
      'Check the disks that hold the repository. "ovirt-cbt list" names the damaged points.',
  },
  'REPO-503': {
    level: 'warn',
    text: '{repo} has {free} left; this session may need up to {need}.',
    resolution: 'Free space or extend the volume. Nothing is deleted automatically.',
  },
  'REPO-505': {
    level: 'info',
    text: 'Removed {file}, which a stopped session had left unfinished.',
    resolution: 'None.',
  },
  'REPO-506': {
    level: 'info',
    text: 'Restore point {rp} in {file} was complete, but the chain metadata did not list it. It was added.',
    resolution: 'None.',
  },
  'REPO-507': {
    level: 'warn',
    text: 'File {file} is not part of the chain and cannot be added ({reason}). The file is not touched.',
    resolution: 'Run "ovirt-cbt inspect" on the file. Move it away if you do not want it.',
  },
  'REPO-508': {
    level: 'warn',
    text: 'The fingerprint index of disk {alias} ({id}) cannot be read ({reason}). The blocks of the disk are checked by MD5 and CRC only.',
    resolution: 'Run "ovirt-cbt verify" to see what else is damaged.',
  },
  'REPO-511': {
    level: 'info',
    text: 'Removed {file}, which no restore point needs. A prune had been stopped before it removed the file.',
    resolution: 'None.',
  },
  'REPO-512': {
    level: 'warn',
    text: 'No restore point needs file {file} any more, but it was not deleted ({reason}). Its space is not free yet.',
    resolution:
      'Check the permissions of the repository, and whether files of the chain are missing. A LOCKED file can be deleted when its lock has ended. The next session or prune tries again.',
  },
  'REPO-514': {
    level: 'warn',
    text: 'Restore points that are dated in the future: {n}. The first one is {rp} of {date}. They are kept in addition to the rules.',
    resolution:
      'Check the clock of this machine now. A point that a wrong clock dated is kept until its date has passed.',
  },
  'REPO-515': {
    level: 'warn',
    text: 'Restore point {rp} is being served by {who}. It and the points that it needs stay as they are.',
    resolution:
      'End that export, then run the command again. If its process has certainly ended, delete {file}.',
  },
  'REPO-516': {
    level: 'info',
    text: 'Files that no restore point needs any more and that were not deleted: {n}. They are read by {who}, which serves restore point {rp}.',
    resolution: 'End that export. The next session or prune deletes them then.',
  },
  'REPO-517': {
    level: 'warn',
    text: 'Lease {file} cannot be read ({reason}). It may protect any file of this VM, so all of them stay as they are.',
    resolution:
      'Delete the file if nobody exports this VM. Otherwise end the export. A lease ends when it was not renewed for 15 minutes.',
  },
  'REPO-518': {
    level: 'warn',
    text: 'Restore point {rp} is served without a lease, because none can be written ({reason}). A prune at the same time does not see the export and may delete its files.',
    resolution: 'Do not prune this VM before the export has ended.',
  },
  'REPO-519': {
    level: 'warn',
    text: 'The lease of restore point {rp} cannot be renewed ({reason}). After 15 minutes a prune on another host may delete the files of this export.',
    resolution: 'Check the repository volume. The renewal is tried again every minute.',
  },
  'REPO-520': {
    level: 'error',
    text: 'File {file} of the served restore point {rp} is gone. Reads of its blocks fail.',
    resolution: 'End the export, and export another restore point.',
  },
  'REPO-521': {
    level: 'error',
    text: '{size} of disk {alias} ({id}) are damaged. These places are zeros in the image; {file} lists them.',
    resolution:
      'Try --damaged-from with another restore point. Check the file systems of the image before you use it.',
  },
  'REPO-522': {
    level: 'warn',
    text: 'File {file} of the chain cannot be used ({reason}). Blocks that only this file holds are damaged.',
    resolution: 'Restore the file from a copy if there is one.',
  },
  'REPO-523': {
    level: 'warn',
    text: 'The fingerprint index of disk {alias} ({id}) cannot be read, so nothing proves which blocks are right. No block is taken from restore point {rp}.',
    resolution: 'Restore the other point itself, and compare.',
  },
  'REPO-524': {
    level: 'error',
    text: 'Disk {alias} ({id}) cannot be restored, because its block map is damaged ({reason}). It gets no image.',
    resolution: 'Restore the disk from another restore point.',
  },
  'REPO-525': {
    level: 'warn',
    text: 'Disk {alias} ({id}) is not part of restore point {rp}, so none of its damaged blocks is taken from there.',
    resolution:
      'Name another restore point with --damaged-from. "ovirt-cbt list --vm NAME" shows the disks of each.',
  },
  'REPO-530': {
    level: 'info',
    text: 'New repository started in {repo}.',
    resolution: 'If you have a repository already, check --repo or the job file.',
  },
  'REPO-531': {
    level: 'info',
    text: 'There is no repository in {repo} yet. The first session starts one.',
    resolution: 'If you have a repository already, check --repo or the job file.',
  },
  'REPO-540': {
    level: 'warn',
    text: 'Nothing in {file} tells that it follows {parent}. The order of the files is taken as it was given.',
    resolution: 'Check that the files were given oldest first.',
  },
  'REPO-541': {
    level: 'info',
    text: 'Disk {alias} is kept as an image file ({kind}). It is given as it is: the bytes are those of that file.',
    resolution: 'Use the result as an image of that kind, for example with qemu-img.',
  },
  'REPO-542': {
    level: 'warn',
    text: '{file} has format version {version}, of which no file is known here. It is read like its neighbours.',
    resolution: 'Compare the result with another restore before you rely on it.',
  },
  'REPO-543': {
    level: 'warn',
    text: '{item} of {file} cannot be read. Names and ids in it are unknown.',
    resolution: 'Check that the files were given oldest first, and run "ovirt-cbt verify --file".',
  },
  'REPO-550': {
    level: 'info',
    text: 'Restore points of {vm} that no rule keeps, but that stay because they or points that need them are locked against deletion: {n}. The last of these locks ends at {date}.',
    resolution: 'Nothing to do: a prune after that time deletes or merges them.',
  },
  'REPO-551': {
    level: 'error',
    text: 'Restore point {rp} of {vm} can be deleted too early. {file} is {found}. According to the chain metadata it is locked until {wanted}.',
    resolution:
      'Find out who ended the lock or replaced the file. The next session locks the points again on which its own one builds.',
  },
  'REPO-552': {
    level: 'info',
    text: 'The next restore point of {vm} will be locked against deletion for {span} ({mode} mode), and so will the points on which it builds: {n}.',
    resolution:
      'Make a new full from time to time: a chain that only grows stays locked as a whole.',
  },
  'REPO-560': {
    level: 'warn',
    text: 'The report of this session of {vm} could not be kept in the repository ({reason}).',
    resolution:
      'Look for the reason at the place of the repository. Restore points are not concerned.',
  },
  'REPO-561': {
    level: 'info',
    text: 'This user may not write to the repository ({reason}), so the history of {vm} does not tell of this session.',
    resolution: 'None.',
  },
  'REPO-562': {
    level: 'warn',
    text: '{file} cannot be read as a report: {reason}. It is left out.',
    resolution: 'Delete the file, or bring it back from a copy. Restore points are not concerned.',
  },
  'SNP-201': {
    level: 'warn',
    text: 'The engine reports success, but snapshot {snapshot} of {vm} still exists.',
    resolution:
      'Free space on the storage domain, then run "ovirt-cbt cleanup --vm NAME" or delete the snapshot in the portal.',
  },
  'SNP-202': {
    level: 'error',
    text: 'Cannot start: {vm} is previewing a snapshot.',
    resolution: 'Commit or undo the preview, then try again.',
  },
  'SNP-203': {
    level: 'error',
    text: 'Cannot start: {vm} already has a backup in progress ({backup}), which this repository did not start.',
    resolution:
      'Wait until it has ended. If its owner is gone, finalize it with the tool that started it, or through the REST API. This program never touches it.',
  },
  'SNP-204': {
    level: 'warn',
    text: 'Checkpoint {checkpoint} of {vm} could not be removed ({reason}). The next session tries again.',
    resolution: 'Nothing to do the first time. If it repeats, look at the events of the engine.',
  },
  'SNP-205': {
    level: 'warn',
    text: 'The engine ended backup {backup} of {vm} as {phase} after all data had been read. The restore point is kept without a checkpoint, so the next session reads and compares whole disks.',
    resolution: 'Look for the reason in the events of the engine.',
  },
  'XFER-301': {
    level: 'warn',
    text: 'Host address {url} is not reachable ({reason}). Data goes through the engine proxy, which is usually slower.',
    resolution: 'Open TCP port 54322 from this machine to the hosts.',
  },
  'XFER-302': {
    level: 'warn',
    text: 'The transfer of disk {alias} ({id}) was paused by the system. It was resumed ({count} of {max} times).',
    resolution: 'Check ovirt-imageio on the host and the connection to it.',
  },
  'XFER-303': {
    level: 'error',
    text: 'The ticket for the transfer of disk {alias} ({id}) is gone. The remaining data was not read, so this session makes no restore point.',
    resolution:
      'Run the session again. If an administrator cancelled the transfer, the event list of the engine names them.',
  },
  'XFER-304': {
    level: 'warn',
    text: 'Backup {backup} of {vm} is still finalizing after {time}. The session waits up to {limit}. "ovirt-cbt cleanup" removes what is left after that.',
    resolution: 'Look for an open transfer of the same disk and for load on the storage.',
  },
  'XFER-305': {
    level: 'warn',
    text: 'The transfer of disk {alias} ({id}) was lost ({reason}). A new transfer was started.',
    resolution: 'Check ovirt-imageio on the host if it repeats.',
  },
  'XFER-306': {
    level: 'error',
    text: 'The engine did not end backup {backup} of {vm} ({reason}). All data had been read, so the restore point is kept. The next session cleans up what is left on the engine.',
    resolution:
      'Run "ovirt-cbt cleanup" when the engine works again, or wait for the next session.',
  },
  'XFER-307': {
    level: 'warn',
    text: 'The user has no right to end the transfer of disk {alias} ({id}). The session waits until the transfer ends by itself, after 10 idle minutes.',
    resolution:
      'Give the user the right to create disks on the system. The engine requires it to end a transfer.',
  },
  'XFER-308': {
    level: 'warn',
    text: 'The server could not compute the checksum of restored disk {alias} ({id}) ({reason}). The upload is complete, but it was not verified.',
    resolution:
      'Check the restored VM before you use it. The log of ovirt-imageio tells the reason.',
  },
};

export function messageLevel(code: MessageCode): MessageLevel {
  return TEMPLATES[code].level;
}

/** Fills the template of `code`. A field without a value stays visible in braces. */
export function sessionMessage(code: MessageCode, fields: Fields = {}): SessionMessage {
  const template: Template = TEMPLATES[code];
  const fill = (text: string): string =>
    text.replaceAll(/\{(\w+)\}/g, (whole, name: string) => String(fields[name] ?? whole));
  return {
    code,
    level: template.level,
    text: fill(template.text),
    resolution: fill(template.resolution),
  };
}
