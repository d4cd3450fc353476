// Figures of the last seconds.

/** How much a second, over the last few. */
export class Rate {
  private seen: { at: number; amount: number }[] = [];

  constructor(private readonly span = 2_000) {}

  add(amount: number, at: number): void {
    this.seen.push({ at, amount });
  }

  perSecond(now: number): number {
    this.seen = this.seen.filter(({ at }) => now - at < this.span);
    return this.seen.reduce((sum, { amount }) => sum + amount, 0) / (this.span / 1_000);
  }
}

/** An average in which the latest counts for a tenth. */
export class Average {
  value: number | undefined;

  add(value: number): void {
    this.value = this.value === undefined ? value : this.value + (value - this.value) / 10;
  }
}

/** Bytes a second, as people read it. */
export const speed = (bytes: number) => `${(bytes / 1_000).toFixed(1)} kB/s`;
