import { readableLog } from './readable-log.ts';
import type { LogLine } from './service-process.ts';
import { defaultPorts, type RunningSystem, startSystem, type SystemPorts } from './system.ts';

export interface StartOptions {
  data: string;
  gatewayPort?: number;
  recordsPort?: number;
  callerPort?: number;
  entraPort?: number;
}

const whatToTry = ({ gatewayUrl }: RunningSystem): string => `
Open
  ${gatewayUrl}/                  what is here
  ${gatewayUrl}/caller/records    ten records, fetched by one API from another

Try
  curl ${gatewayUrl}/caller/records
  curl -i ${gatewayUrl}/api/records
  curl ${gatewayUrl}/api/records -H "Authorization: Bearer $(npm run -s token -- api2)"
  curl -i ${gatewayUrl}/api/records -H "Authorization: Bearer $(npm run -s token -- api3)"

Ctrl-C stops everything; the data stays.
`;

const say = (message: string): boolean => process.stderr.write(`${message}\n`);

/**
 * `countersign start`: runs the whole system on loopback until Ctrl-C or SIGTERM. The services' logs go to standard
 * output, readable on a terminal and as they are elsewhere; what the command itself says goes to standard error.
 *
 * @returns the exit code.
 */
export const start = async (options: StartOptions): Promise<number> => {
  const startedMs = performance.now();
  const readable = readableLog(process.stdout.isTTY && !process.env['NO_COLOR']);
  const onLine = process.stdout.isTTY
    ? (line: LogLine) => process.stdout.write(readable(line))
    : ({ text }: LogLine) => process.stdout.write(`${text}\n`);
  const ports: SystemPorts = {
    gateway: options.gatewayPort ?? defaultPorts.gateway,
    recordsApi: options.recordsPort ?? defaultPorts.recordsApi,
    callerApi: options.callerPort ?? defaultPorts.callerApi,
    localEntra: options.entraPort ?? defaultPorts.localEntra,
  };

  const stopAsked = new Promise<'asked'>((resolve) => {
    let asked = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (asked) process.exit(1);
        asked = true;
        resolve('asked');
      });
    }
  });

  let count = 0;
  const system = await startSystem({
    dataFolder: options.data,
    ports,
    onLine,
    onStarted: ({ name, port }) => say(`[${(count += 1)}/4] ${name} is up on port ${port}`),
  });
  say(`ready in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  say(whatToTry(system));

  const ended = system.services.map(async ({ name, exited }) => ({ name, code: await exited }));
  const reason = await Promise.race([stopAsked, ...ended]);
  if (reason !== 'asked')
    say(`${reason.name} ended by itself (exit code ${reason.code}); stopping the others`);
  const failed = await system.stop();
  if (failed.length > 0) say(`did not stop in order: ${failed.join(', ')}`);
  return reason === 'asked' && failed.length === 0 ? 0 : 1;
};
