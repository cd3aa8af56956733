const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;

/** Index of the quote that ends the string which opens at `start`. */
const endOfString = (json: string, start: number): number => {
  let end = json.indexOf('"', start + 1);
  for (;;) {
    let escapes = 0;
    while (json.charCodeAt(end - 1 - escapes) === backslash) escapes += 1;
    // An even number of them escape each other.
    if (escapes % 2 === 0) return end;
    end = json.indexOf('"', end + 1);
  }
};

const isWhitespace = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d);

/**
 * The member names of the outermost object of a valid JSON text, in order and with repetitions, which `JSON.parse`
 * hides by taking the last.
 */
export const topLevelKeys = (json: string): string[] => {
  const keys: string[] = [];
  let depth = 0;
  for (let index = 0; index < json.length; index += 1) {
    const code = json.charCodeAt(index);
    if (code === quote) {
      const end = endOfString(json, index);
      let next = end + 1;
      while (isWhitespace(json.charCodeAt(next))) next += 1;
      if (depth === 1 && json.charCodeAt(next) === colon) {
        const raw = json.slice(index + 1, end);
        // An escaped name is the same name: "\u0061ud" is "aud".
        keys.push(raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw);
      }
      index = end;
    } else if (code === 0x7b || code === 0x5b) depth += 1;
    else if (code === 0x7d || code === 0x5d) depth -= 1;
  }
  return keys;
};
