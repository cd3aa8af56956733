import { generateKeyPairSync, sign } from 'node:crypto';

// Run by entra.ts on the core where local-entra runs: signs as fast as it can for as long as it is told to.
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const input = Buffer.alloc(1000, 'x');

process.on('message', (milliseconds: number) => {
  const startMs = performance.now();
  let count = 0;
  while (performance.now() - startMs < milliseconds) {
    sign('sha256', input, privateKey);
    count += 1;
  }
  process.send?.((count / (performance.now() - startMs)) * 1000);
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
