/** The compiled command line, with the times of {@link commandTimes.mjs}. Ends with its test. */
process.on('disconnect', () => process.exit(1));
// Otherwise the channel would keep a command alive that is done.
process.channel.unref();
await import('../../../dist/cli/main.js');
