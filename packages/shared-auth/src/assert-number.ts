/** The least and the greatest value that an option may have, for each option. */
export type NumberBounds = Readonly<Record<string, readonly [number, number]>>;

/** Checks numeric options where they are given, so that no request finds out. @throws TypeError naming one */
export const assertNumbers = (options: Readonly<Record<string, unknown>>, bounds: NumberBounds): void => {
  for (const [name, [least, greatest]] of Object.entries(bounds)) {
    const value = options[name];
    if (value === undefined) continue;
    if (typeof value !== 'number' || !(value >= least && value <= greatest)) {
      throw new TypeError(`${name} must be a number from ${least} to ${greatest}`);
    }
  }
};
