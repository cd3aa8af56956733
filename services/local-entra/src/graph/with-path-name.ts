/** A body, with the name that the path gives to what it creates: one rule for both. What is no object stays so. */
export const withPathName = (body: unknown, property: string, name: string | undefined): unknown =>
  name === undefined || typeof body !== 'object' || body === null || Array.isArray(body)
    ? body
    : { [property]: name, ...body };
