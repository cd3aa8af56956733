/** One record as the API gives it. */
export interface RecordEntry {
  id: number;
  name: string;
  description: string;
  /** ISO 8601, UTC. */
  date: string;
}

/** Where records are kept. Every method rejects when the storage cannot be reached. */
export interface RecordStore {
  /** All records, by ascending id. */
  list(): Promise<RecordEntry[]>;
  /** Resolves when the storage answers. */
  check(): Promise<void>;
  close(): Promise<void>;
}
