type Json = Readonly<Record<string, unknown>>;

/** RFC 7396 for an object without objects in it: null takes a member away, anything else takes its place. */
export const mergePatch = (target: Json, patch: Json): Json => {
  const merged = new Map(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, value);
  }
  return Object.fromEntries(merged);
};
