/** The folder of this installation. The bundle lies as deep in it as this module. */
export const PACKAGE_FOLDER: URL = new URL('../../', import.meta.url);
