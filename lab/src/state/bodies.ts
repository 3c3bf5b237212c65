/**
 * Checked bodies of requests that the state acts on. Names are those of the API. Sizes are bytes,
 * times are seconds, ids are lower-case UUIDs. api/http/bodyTypes.ts has the shapes on the wire.
 */

/** A pointer to something that exists, by id or by name. */
export interface RefBody {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
}

export interface BackupBody {
  readonly id?: string | undefined;
  readonly description?: string | undefined;
  readonly from_checkpoint_id?: string | undefined;
  readonly disks?: readonly { readonly id?: string | undefined }[] | undefined;
}

export interface DiskBody {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly alias?: string | undefined;
  readonly description?: string | undefined;
  readonly format?: 'cow' | 'raw' | undefined;
  readonly backup?: 'none' | 'incremental' | undefined;
  readonly qcow_version?: 'qcow2_v2' | 'qcow2_v3' | undefined;
  readonly sparse?: boolean | undefined;
  readonly shareable?: boolean | undefined;
  readonly bootable?: boolean | undefined;
  readonly wipe_after_delete?: boolean | undefined;
  readonly provisioned_size?: number | undefined;
  readonly initial_size?: number | undefined;
  readonly content_type?: string | undefined;
  readonly storage_domains?: readonly RefBody[] | undefined;
}

export interface TransferBody {
  readonly disk?: RefBody | undefined;
  readonly snapshot?: RefBody | undefined;
  readonly image?: RefBody | undefined;
  readonly backup?: RefBody | undefined;
  readonly host?: RefBody | undefined;
  readonly direction?: 'upload' | 'download' | undefined;
  readonly format?: 'cow' | 'raw' | undefined;
  readonly inactivity_timeout?: number | undefined;
  readonly timeout_policy?: 'legacy' | 'pause' | 'cancel' | undefined;
  readonly shallow?: boolean | undefined;
}
