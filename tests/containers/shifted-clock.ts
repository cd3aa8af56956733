/** Loaded before a service: `Date` is ahead by as many milliseconds as the file says. */
import { readFileSync } from 'node:fs';

const RealDate = Date;
const shiftedNow = (): number => RealDate.now() + Number(readFileSync('/shift/shift-ms', 'utf8'));

globalThis.Date = new Proxy(RealDate, {
  construct: (target, parameters: [], newTarget) =>
    Reflect.construct(target, parameters.length === 0 ? [shiftedNow()] : parameters, newTarget) as Date,
  get: (target, name) => (name === 'now' ? shiftedNow : (Reflect.get(target, name) as unknown)),
});
