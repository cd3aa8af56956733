import { startLocalEntra } from '@countersign/local-entra';

// Run by entra.ts, a process for each time: prints how long a local Entra takes to be ready, in milliseconds.
const startMs = performance.now();
const entra = await startLocalEntra();
const ready = performance.now() - startMs;
await entra.close();
process.stdout.write(ready.toFixed(1));
