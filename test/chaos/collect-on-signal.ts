/** Loaded into each service before its own code: what memory it holds can only be told once the garbage is gone. */
process.on('SIGUSR2', () => globalThis.gc?.());
