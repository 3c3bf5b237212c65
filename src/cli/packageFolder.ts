/**
 * Folder of this installation. The bundle lies as deep in it as this module, so one path fits both.
 */
export const PACKAGE_FOLDER: URL = new URL('../../', import.meta.url);
