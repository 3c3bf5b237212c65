/** Parts of the manual page that are in no command. */

export const DESCRIPTION: readonly string[] = [
  'ovirt-cbt backs up virtual machines of oVirt, RHV and OLVM by changed blocks, into VBK containers.\nIt restores them to image files or to a new virtual machine.',
  'The first session of a virtual machine stores a full.\nLater ones ask the engine which blocks have changed, and store only those.',
  'Passwords and keys are read from files, never from arguments.',
];

/** Variables that are not the value of one option. */
export const VARIABLES: readonly (readonly [string, string])[] = [
  ['OVIRT_PASSWORD', 'password of the engine itself, where there is no file.'],
  ['AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_REGION, …', 'settings of buckets (s3://).'],
  ['AWS_ENDPOINT_URL_S3', 'server of buckets that is not Amazon.'],
  [
    'OVIRT_CBT_JOB, OVIRT_CBT_RUN_ID, OVIRT_CBT_TRIGGER, OVIRT_CBT_REPOSITORY',
    'given to hooks of a job, and after the run OVIRT_CBT_OUTCOME and OVIRT_CBT_REPORT.',
  ],
  ['OVIRT_CBT_EVENT, OVIRT_CBT_TEXT', 'given to commands that are told of a run.'],
  ['STATE_DIRECTORY, XDG_STATE_HOME', 'where jobs keep their state.'],
  ['CREDENTIALS_DIRECTORY', 'secrets of a job, as systemd gives them to a unit.'],
  ['NO_COLOR, FORCE_COLOR', 'no colours, or colours without a terminal.'],
];

export const FILES: readonly (readonly [string, string])[] = [
  ['ovirt-cbt.yaml', 'job file in the working folder.'],
  ['/etc/ovirt-cbt/ovirt-cbt.yaml', 'job file of the machine, where there is none of those.'],
];

/** Purpose and command line. */
export const EXAMPLES: readonly (readonly [string, string])[] = [
  ['Try without an engine', 'ovirt-cbt demo'],
  ['Back up a virtual machine', 'ovirt-cbt backup --vm web01 --repo /backup'],
  ['Read all of it again and compare', 'ovirt-cbt verify --repo /backup --point all'],
  ['Run a job of the job file', 'ovirt-cbt run nightly'],
  ['Restore it to image files', 'ovirt-cbt restore --repo /backup --vm web01 --output restored'],
];

export const SEE_ALSO =
  'The folder docs of the package has the first steps (nightly.md), all options (cli.md),\nkeys of job files (jobs.md), errors (errors.md) and more.\nage(1), qemu-img(1), nbd-client(8), guestfish(1)';
