const quote = 0x22;
const backslash = 0x5c;

/** Index just after the string that opens at `start`. */
const endOfString = (json: string, start: number): number => {
  let index = start + 1;
  while (index < json.length) {
    const code = json.charCodeAt(index);
    if (code === quote) return index + 1;
    index += code === backslash ? 2 : 1;
  }
  return index;
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
      let next = end;
      while (isWhitespace(json.charCodeAt(next))) next += 1;
      if (depth === 1 && json[next] === ':') {
        const raw = json.slice(index + 1, end - 1);
        // An escaped name is the same name: "\u0061ud" is "aud".
        keys.push(raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw);
      }
      index = end - 1;
    } else if (code === 0x7b || code === 0x5b) depth += 1;
    else if (code === 0x7d || code === 0x5d) depth -= 1;
  }
  return keys;
};
