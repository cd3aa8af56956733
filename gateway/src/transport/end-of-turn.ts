let waiting: (() => void)[] = [];

/**
 * Calls back once all that came in this turn of the event loop has been worked on. For writes: one that wakes its receiver
 * costs more than all the gateway does for a request, and of several in a row only the first does.
 */
export const atEndOfTurn = (write: () => void): void => {
  if (waiting.length === 0) setImmediate(callAll);
  waiting.push(write);
};

const callAll = (): void => {
  const writes = waiting;
  waiting = [];
  for (const write of writes) write();
};
