/**
 * The parts of undici that the command line uses, for bundle.mjs. The whole package also loads
 * fetch, web sockets and caches, which takes longer than all of our own modules.
 */
const Dispatcher = require('undici/lib/dispatcher/dispatcher.js');

Object.assign(Dispatcher.prototype, require('undici/lib/api'));

exports.Agent = require('undici/lib/dispatcher/agent.js');
exports.errors = require('undici/lib/core/errors.js');
