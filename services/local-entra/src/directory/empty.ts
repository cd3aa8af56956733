/*
 * Most applications have most of their lists empty. Ten thousand of them share these two, which saves megabytes; they
 * are frozen, so whoever adds something makes a new list.
 */

/** A list of nothing. */
export const emptyList: never[] = Object.freeze([]) as unknown as never[];

/** No properties. */
export const emptyRecord: Record<string, never> = Object.freeze({});

/** A list, or the shared one where it is empty. */
export const compact = <Item>(list: Item[]): Item[] => (list.length === 0 ? emptyList : list);
