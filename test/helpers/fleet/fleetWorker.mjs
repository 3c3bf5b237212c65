/** A worker of a fleet as a process of its own, with short times. Options come by IPC. */
import { pino } from 'pino';
import { runWorker } from '../../../dist/fleet/worker/worker.js';

const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
process.on('disconnect', () => process.exit(1));
const tell = (message) => process.connected && process.send(message);
const logger = pino({ level: 'debug' }, { write: (line) => tell({ type: 'log', line }) });

process.once('message', (options) => {
  runWorker({
    ...options,
    signal: stop.signal,
    logger,
    onMessage: (message) => tell({ type: 'message', message }),
    onNote: (text, level) => tell({ type: 'note', text, level }),
    onReady: () => tell({ type: 'ready' }),
  }).then(
    () => process.exit(0),
    (error) => {
      tell({ type: 'failed', code: error.code, text: error.message });
      process.exit(1);
    },
  );
});
