/** The operation of an S3 request, from its method, path and query. Path style only. */

const BUCKET_KINDS: Readonly<Record<string, string>> = {
  'GET list-type': 'ListObjectsV2',
  'GET versions': 'ListObjectVersions',
  'GET uploads': 'ListMultipartUploads',
  'GET versioning': 'GetBucketVersioning',
  'PUT versioning': 'PutBucketVersioning',
  'GET object-lock': 'GetObjectLockConfiguration',
  'PUT object-lock': 'PutObjectLockConfiguration',
  'GET location': 'GetBucketLocation',
  'POST delete': 'DeleteObjects',
  GET: 'ListObjects',
  HEAD: 'HeadBucket',
  PUT: 'CreateBucket',
  DELETE: 'DeleteBucket',
};

const OBJECT_KINDS: Readonly<Record<string, string>> = {
  'GET retention': 'GetObjectRetention',
  'PUT retention': 'PutObjectRetention',
  'GET legal-hold': 'GetObjectLegalHold',
  'PUT legal-hold': 'PutObjectLegalHold',
  'GET attributes': 'GetObjectAttributes',
  'GET uploadId': 'ListParts',
  'PUT uploadId': 'UploadPart',
  'POST uploadId': 'CompleteMultipartUpload',
  'DELETE uploadId': 'AbortMultipartUpload',
  'POST uploads': 'CreateMultipartUpload',
  GET: 'GetObject',
  HEAD: 'HeadObject',
  PUT: 'PutObject',
  DELETE: 'DeleteObject',
};

export interface S3Target {
  /** Name of the operation as in the documentation of S3. */
  readonly kind: string;
  readonly bucket: string;
  readonly key: string;
}

/** @param url - path and query of the request. */
export function targetOf(method: string, url: string): S3Target {
  const { pathname, searchParams } = new URL(url, 'http://server');
  const [bucket = '', ...rest] = pathname.slice(1).split('/').map(decodeURIComponent);
  const key = rest.join('/');
  const kinds = key === '' ? BUCKET_KINDS : OBJECT_KINDS;
  const detail = [...searchParams.keys()].find((name) => kinds[`${method} ${name}`]);
  const kind = kinds[detail === undefined ? method : `${method} ${detail}`];
  return { kind: (bucket && kind) || `${method} ${pathname}`, bucket, key };
}
