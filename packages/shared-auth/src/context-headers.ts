/** What goes on from a caller to Entra or to an API: it names the request, and says nothing about who is asking. */
const contextHeaders = new Set(['x-request-id', 'traceparent', 'tracestate']);

/** Printable ASCII, as short as W3C Trace Context asks to support at least. */
const isValue = (value: unknown): value is string =>
  typeof value === 'string' && /^[\x20-\x7e]{1,512}$/.test(value);

/** Those of the headers that may be passed on, in lower case; invalid values are left out. */
export const contextHeadersOf = (
  headers: Readonly<Record<string, unknown>> | undefined,
): Readonly<Record<string, string>> => {
  const kept: Record<string, string> = {};
  for (const [key, value] of Object.entries(headers ?? {})) {
    const name = key.toLowerCase();
    if (contextHeaders.has(name) && isValue(value)) kept[name] = value;
  }
  return kept;
};
