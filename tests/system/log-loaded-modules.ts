/** Preloaded: at its end, the process logs the packages of OpenTelemetry that it has loaded. */
import { writeSync } from 'node:fs';
import { registerHooks } from 'node:module';

const packages = new Set<string>();

registerHooks({
  resolve(specifier, context, nextResolve) {
    const resolved = nextResolve(specifier, context);
    const name = /node_modules\/(@opentelemetry\/[\w-]+)\//.exec(resolved.url)?.[1];
    if (name) packages.add(name);
    return resolved;
  },
});
process.on('exit', () => {
  writeSync(1, `${JSON.stringify({ msg: 'loaded', packages: [...packages] })}\n`);
});
