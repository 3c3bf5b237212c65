#!/usr/bin/env node
/**
 * The program that the shell starts. It sets the number of libuv threads. They write and sync
 * files, and they also resolve host names. With the default of four, several parallel sessions that
 * sync can delay a new connection for seconds. The size must be set before the first use of the
 * threads, and loading an ES module uses them. So this file is CommonJS.
 */
const THREADS = '16';
/**
 * V8 compiles a function for speed after so much work in it: 16 times the usual amount. Most of our
 * functions run a few thousand times, so the compiler took 5 % of the CPU time of a backup. Node 22
 * and 24 do not know the option, and would complain on stderr.
 */
const COMPILE_LATER = '--interrupt-budget=1081344';
const MAJOR_WITH_OPTION = '20';
/** The bundle of main.ts, see bundle.mjs. */
const MAIN = '../bin/main.js';

process.env['UV_THREADPOOL_SIZE'] ??= THREADS;
if (process.versions.node.split('.')[0] === MAJOR_WITH_OPTION) {
  process.getBuiltinModule('node:v8').setFlagsFromString(COMPILE_LATER);
}
void import(MAIN);
