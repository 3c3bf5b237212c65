#!/usr/bin/env node
/**
 * The program that the shell starts. It sets the number of libuv threads. They write and sync
 * files, and they also resolve host names. With the default of four, several parallel sessions that
 * sync can delay a new connection for seconds. The size must be set before the first use of the
 * threads, and loading an ES module uses them. So this file is CommonJS.
 */
const THREADS = '16';
/** The bundle of main.ts, see bundle.mjs. */
const MAIN = '../bin/main.js';

process.env['UV_THREADPOOL_SIZE'] ??= THREADS;
void import(MAIN);
