import type { Connection } from './connection.ts';
import { BaseExchange } from './exchange-base.ts';

/** An exchange that a connection of our own carries. */
export class Http1Exchange extends BaseExchange {
  connection: Connection | undefined;

  protected override resumeReading(): void {
    this.connection?.resume();
  }

  protected override takesMore(): boolean {
    return this.connection?.takesMore ?? false;
  }

  protected override disconnect(): void {
    this.connection?.destroy();
  }
}
