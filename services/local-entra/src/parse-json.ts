/** Ample for every body that Graph and the admin port know. */
const maxDepth = 32;

const isTooDeep = (text: string): boolean => {
  let depth = 0;
  let isText = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (isText) {
      if (character === '\\') index += 1;
      else if (character === '"') isText = false;
    } else if (character === '"') isText = true;
    else if (character === '[' || character === '{') {
      depth += 1;
      if (depth > maxDepth) return true;
    } else if (character === ']' || character === '}') depth -= 1;
  }
  return false;
};

/**
 * Parses JSON that somebody else wrote. A value that is deeper could be parsed, and then not be written again.
 *
 * @throws {SyntaxError}
 */
export const parseJson = (text: string): unknown => {
  if (isTooDeep(text)) throw new SyntaxError(`deeper than ${maxDepth} levels`);
  return JSON.parse(text);
};
