import type { Generated } from 'kysely';

/** The tables after all migrations. Dates are ISO 8601 in UTC with milliseconds. */
export interface Tables {
  records: {
    id: Generated<number>;
    name: string;
    description: string;
    date: string;
    version: number;
  };
  /** One row per request that wrote. */
  audit_writes: {
    id: Generated<number>;
    application_id: string;
    object_id: string;
    tenant_id: string;
    token_id: string;
    request_id: string;
    at: string;
  };
  /** One row per record that such a request wrote. */
  audit_changes: {
    record_id: number;
    version: number;
    action: 'created' | 'changed' | 'deleted';
    write_id: number;
  };
  idempotency_keys: {
    application_id: string;
    key: string;
    fingerprint: string;
    /** What the write resolved to, as JSON. */
    answer: string;
    at: string;
  };
}
