/** `npm run storm:gateway`: 100,000 hostile connections, or as many as are asked for. Fails when anything is left of them. */
import { storm } from './storm.ts';

const report = await storm(Number(process.argv[2] ?? 100_000));
process.stdout.write(`${JSON.stringify({ storm: 'gateway', node: process.version, ...report })}\n`);
const { descriptors, megabytes, smuggled, unexpected, bystanders, exitCode } = report;
const held = {
  descriptors: descriptors.after <= descriptors.before + 5,
  memory: megabytes.after <= megabytes.before * 1.25 + 16,
  smuggled: smuggled === 0,
  attacks: Object.keys(unexpected).length === 0,
  bystanders: Object.keys(bystanders).join() === '200 ok',
  exit: exitCode === 0,
};
const failed = Object.entries(held).flatMap(([name, holds]) => (holds ? [] : [name]));
if (failed.length > 0) {
  process.stderr.write(`not as it should be: ${failed.join(', ')}\n`);
  process.exitCode = 1;
}
