#!/usr/bin/env node
/**
 * What the shell starts. Files are written, synced and read by libuv's pool of threads, which host names are
 * resolved by as well: with its four, several sessions that sync at once hold up a connection for seconds. The
 * pool reads its size when it is first used, and loading an ES module uses it; hence this file of the older kind.
 */
const THREADS = '16';
/** The entry main.ts with all that it needs in a few files: see bundle.mjs. */
const MAIN = '../bin/main.js';

process.env['UV_THREADPOOL_SIZE'] ??= THREADS;
void import(MAIN);
