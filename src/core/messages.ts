/**
 * Session-log messages: degraded or notable outcomes of a session, each with a stable code, one text
 * and one resolution. They are events, not errors; warnings change the exit code only under `--strict`.
 */

export type MessageLevel = 'info' | 'warn' | 'error';

export interface SessionMessage {
  readonly code: string;
  readonly level: MessageLevel;
  readonly text: string;
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
  'CBT-106',
  'DSK-110',
  'DSK-111',
  'DSK-112',
  'ENV-801',
  'REPO-501',
  'REPO-503',
  'REPO-505',
  'REPO-506',
  'REPO-507',
  'REPO-508',
] as const;

export type MessageCode = (typeof MESSAGE_CODES)[number];

/** Texts by code; braces are fields. */
const TEMPLATES: Readonly<Record<MessageCode, Template>> = {
  'CBT-106': {
    level: 'info',
    text: 'Disk {alias} ({id}) was not part of restore point {rp}; it gets a full image inside this increment.',
    resolution: 'None.',
  },
  'DSK-110': {
    level: 'info',
    text: 'Disk {alias} ({id}) changed its size from {from} to {to} since restore point {rp}; it was read whole and compared.',
    resolution: 'None.',
  },
  'DSK-111': {
    level: 'warn',
    text: 'Disk {alias} ({id}) of restore point {rp} was not given to this session; the new restore point does not hold it.',
    resolution:
      'Add its image to the command again if the disk is still wanted; older restore points keep it.',
  },
  'DSK-112': {
    level: 'warn',
    text: 'Image {path} was modified while it was read; the restore point may mix states of disk {alias} ({id}).',
    resolution: 'Back up a snapshot of the image, or stop its writer first.',
  },
  'ENV-801': {
    level: 'warn',
    text: 'The native build of lz4 could not be loaded ({reason}); its JavaScript fallback is used, which is many times slower.',
    resolution: 'Run "npm rebuild lz4" with a C++ compiler and the headers of this Node.js.',
  },
  'REPO-501': {
    level: 'error',
    text: 'Parent restore point {rp} does not verify ({reason}). A new full is started; the old chain stays read-only.',
    resolution: 'Run "ovirt-cbt verify" and restore the damaged file from a copy if there is one.',
  },
  'REPO-503': {
    level: 'warn',
    text: '{free} left in {repo}; this session is expected to need up to {need}.',
    resolution: 'Free space or extend the volume; nothing is deleted automatically.',
  },
  'REPO-505': {
    level: 'info',
    text: 'Removed {file}, left unfinished by a session that was stopped.',
    resolution: 'None.',
  },
  'REPO-506': {
    level: 'info',
    text: 'Restore point {rp} in {file} was complete but not listed in the chain metadata; it was added.',
    resolution: 'None.',
  },
  'REPO-507': {
    level: 'warn',
    text: 'File {file} is not part of the chain and cannot be added ({reason}); it is left alone.',
    resolution: 'Run "ovirt-cbt inspect" on it; move it away if it is not wanted.',
  },
  'REPO-508': {
    level: 'warn',
    text: 'The fingerprint index of disk {alias} ({id}) cannot be read ({reason}); its blocks are checked by MD5 and CRC only.',
    resolution: 'Run "ovirt-cbt verify" to see what else is damaged.',
  },
};

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
