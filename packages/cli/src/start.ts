import { createLogFile } from './logs/log-file.ts';
import { readableLog } from './readable-log.ts';
import type { LogLine } from './service-process.ts';
import { defaultPorts, type RunningSystem, startSystem, type SystemPorts } from './system.ts';
import type { Terminal } from './terminal.ts';

export interface StartOptions {
  data: string;
  gatewayPort?: number;
  adminPort?: number;
  recordsPort?: number;
  callerPort?: number;
  entraPort?: number;
}

const whatToTry = ({ gatewayUrl, entraOrigin }: RunningSystem, tokenOptions: string): string => `
Open
  ${gatewayUrl}/                  what is here
  ${gatewayUrl}/caller/records    ten records, fetched by one API from another
  ${entraOrigin}/                 who may call what, and who was refused (the CA is local-entra's own)

Try
  curl ${gatewayUrl}/caller/records
  curl -i ${gatewayUrl}/api/records
  curl ${gatewayUrl}/api/records -H "Authorization: Bearer $(npm run -s token -- api2${tokenOptions})"
  curl -i ${gatewayUrl}/api/records -H "Authorization: Bearer $(npm run -s token -- api3${tokenOptions})"

Ctrl-C stops everything; the data stays.
`;

/**
 * `countersign start`: runs the whole system on loopback until Ctrl-C or SIGTERM. The services' logs go to standard
 * output, readable on a terminal and as they are elsewhere; what the command itself says goes to standard error.
 *
 * @returns the exit code.
 */
export const start = async (options: StartOptions, { env, stdout, stderr }: Terminal): Promise<number> => {
  const say = (message: string): boolean => stderr.write(`${message}\n`);
  const startedMs = performance.now();
  const readable = readableLog(!env['NO_COLOR']);
  const show = stdout.isTTY
    ? (line: LogLine) => stdout.write(readable(line))
    : ({ text }: LogLine) => stdout.write(`${text}\n`);
  let keep: ((text: string) => void) | undefined;
  const onLine = (line: LogLine): void => {
    show(line);
    // Begun with the first line: by then the folder is there, and is nobody else's.
    keep ??= createLogFile(options.data);
    keep(line.text);
  };
  const ports: SystemPorts = {
    gateway: options.gatewayPort ?? defaultPorts.gateway,
    gatewayAdmin: options.adminPort ?? defaultPorts.gatewayAdmin,
    recordsApi: options.recordsPort ?? defaultPorts.recordsApi,
    callerApi: options.callerPort ?? defaultPorts.callerApi,
    localEntra: options.entraPort ?? defaultPorts.localEntra,
  };

  const stopping = new AbortController();
  const stopAsked = new Promise<'asked'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (stopping.signal.aborted) process.exit(1);
        stopping.abort();
        resolve('asked');
      });
    }
  });

  let count = 0;
  const system = await startSystem({
    dataFolder: options.data,
    env,
    ports,
    onLine,
    signal: stopping.signal,
    onStarted: ({ name, port }) => say(`[${(count += 1)}/4] ${name} is up on port ${port}`),
  });
  say(`ready in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  say(whatToTry(system, options.data === 'data' ? '' : ` --data ${options.data}`));

  const ended = system.services.map(async ({ name, exited }) => ({ name, code: await exited }));
  const reason = await Promise.race([stopAsked, ...ended]);
  if (reason !== 'asked')
    say(`${reason.name} ended by itself (exit code ${reason.code}); stopping the others`);
  const failed = await system.stop();
  if (failed.length > 0) say(`did not stop in order: ${failed.join(', ')}`);
  return reason === 'asked' && failed.length === 0 ? 0 : 1;
};
