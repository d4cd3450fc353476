// Figures of the last two seconds.

import type { Frame } from './frame.js';

export interface Figures {
  /** Bits a second. */
  rate: number;
  /** Pictures a second. */
  frames: number;
  /** Milliseconds from capture to display (broadcaster: to the server's answer); undefined if nothing was shown. */
  delay: number | undefined;
  skipped: number;
  codec: string;
  size: string;
}

const span = 2_000;

export class Meter {
  #came: { at: number; bytes: number }[] = [];
  #shown: { at: number; delay: number }[] = [];
  #codec = '';
  #size = '';

  came(bytes: number, { codec, width, height }: Pick<Frame, 'codec' | 'width' | 'height'>): void {
    this.#came.push({ at: performance.now(), bytes });
    this.#codec = codec;
    this.#size = `${width} × ${height}`;
  }

  shown(delay: number): void {
    this.#shown.push({ at: performance.now(), delay: Math.max(0, delay) });
  }

  figures(): Omit<Figures, 'skipped'> {
    const since = performance.now() - span;
    this.#came = this.#came.filter(({ at }) => at > since);
    this.#shown = this.#shown.filter(({ at }) => at > since);
    const delays = this.#shown.map(({ delay }) => delay);
    return {
      rate: (this.#came.reduce((sum, { bytes }) => sum + bytes, 0) * 8 * 1000) / span,
      frames: (this.#shown.length * 1000) / span,
      delay: delays.length ? delays.reduce((sum, delay) => sum + delay, 0) / delays.length : undefined,
      codec: this.#codec,
      size: this.#size,
    };
  }
}
