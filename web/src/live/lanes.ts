// Which comment flies where. Times are milliseconds, lengths are pixels.
//
// All comments cross the stage in the same time, so long ones are faster. Two in one lane never touch if they do not at its beginning and
// not at its end, since each has one speed: the one before has to be in with its tail before the next begins, and out with its tail before
// the next arrives at the left edge.

/** From the right edge until the tail has left on the left. */
export const crossing = 8_000;
/** How long a comment stands at the top. */
export const standing = 4_000;
/** Between two comments in one lane. */
const gap = 24;

interface Lane {
  in: number; // when the tail of the last comment has come in, and the gap with it
  out: number; // when it has left
}

export class Lanes {
  readonly count: number;
  readonly #fixed: number; // so many lanes at the top are for comments that stand
  readonly #lanes: Lane[];

  constructor(readonly width: number, height: number, readonly laneHeight: number) {
    this.count = Math.max(1, Math.floor(height / laneHeight));
    this.#fixed = Math.min(2, Math.floor(this.count / 4));
    this.#lanes = Array.from({ length: this.count }, () => ({ in: 0, out: 0 }));
  }

  /** The lane for a comment of this width that begins now; undefined if none has room. */
  fly(width: number, now: number): number | undefined {
    const arrives = now + (crossing * this.width) / (this.width + width);
    for (let i = this.#fixed; i < this.count; i++) {
      const lane = this.#lanes[i]!;
      if (now < lane.in || arrives < lane.out) continue;
      lane.in = now + (crossing * (width + gap)) / (this.width + width);
      lane.out = now + crossing;
      return i;
    }
    return undefined;
  }

  /** The lane for a comment that stands in the middle of the top. */
  stand(now: number): number | undefined {
    for (let i = 0; i < this.#fixed; i++) {
      const lane = this.#lanes[i]!;
      if (now < lane.out) continue;
      lane.out = now + standing;
      return i;
    }
    return undefined;
  }
}
