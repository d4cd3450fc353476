// From bytes to pictures.

import { codecString } from './encode.js';
import type { Frame } from './frame.js';

type Draw = (picture: CanvasImageSource, frame: { width: number; height: number; captured: number }) => void;

// Pictures that a decoder may be behind before they are skipped: as many as there can be at the beginning, until it has caught up.
const maxBegin = 150;
const maxQueue = 20;

/** Decodes frames in their order. */
export class Decoder {
  /** Frames that were not decoded, because one before them was missing or this browser is too slow. */
  skipped = 0;
  #video?: VideoDecoder;
  #codec = '';
  #behind = true; // it has not caught up yet with what came at the beginning
  #whole = false; // nothing is missing since the last key frame
  #newest?: Frame; // JPEG: decoded next
  #busy = false;

  /** needKey is called for each frame that is of no use without a key frame; unable once this browser cannot decode something. */
  constructor(readonly draw: Draw, readonly needKey: () => void, readonly unable: (codec: string) => void) {}

  /** What follows may come all at once. */
  begin(): void {
    this.#behind = true;
    this.#whole = false;
  }

  /** Something is missing before the next frame. */
  broken(): void {
    this.#whole = false;
  }

  add(frame: Frame): void {
    if (frame.codec === 'jpeg') {
      if (this.#newest) this.skipped++;
      this.#newest = frame;
      void this.#decodePicture();
      return;
    }
    if (this.#video && this.#video.decodeQueueSize > (this.#behind ? maxBegin : maxQueue)) this.#whole = false;
    if (frame.key) this.#begin(frame);
    if (!this.#whole || this.#video?.state !== 'configured') {
      this.skipped++;
      this.needKey();
      return;
    }
    this.#video.decode(new EncodedVideoChunk({ type: frame.key ? 'key' : 'delta', timestamp: frame.captured * 1000, data: frame.payload }));
  }

  #begin(frame: Frame): void {
    if (frame.codec === 'jpeg') return;
    if (!('VideoDecoder' in window)) {
      this.unable(frame.codec);
      return;
    }
    const config = `${frame.codec} ${frame.width} ${frame.height}`;
    if (this.#codec !== config || this.#video?.state !== 'configured' || !this.#whole && this.#video.decodeQueueSize > maxQueue) {
      this.close();
      this.#codec = config;
      this.#video = new VideoDecoder({
        output: (picture) => {
          if (this.#video?.decodeQueueSize === 0) this.#behind = false;
          this.draw(picture, { width: picture.displayWidth, height: picture.displayHeight, captured: picture.timestamp / 1000 });
          picture.close();
        },
        error: () => this.broken(),
      });
      this.#video.configure({ codec: codecString(frame.codec), optimizeForLatency: true });
    }
    this.#whole = true;
  }

  async #decodePicture(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#newest) {
      const frame = this.#newest;
      this.#newest = undefined;
      try {
        const picture = await createImageBitmap(new Blob([frame.payload], { type: 'image/jpeg' }));
        this.draw(picture, frame);
        picture.close();
      } catch {
        this.skipped++; // it began as a JPEG and was none
      }
    }
    this.#busy = false;
  }

  close(): void {
    if (this.#video && this.#video.state !== 'closed') this.#video.close();
    this.#video = undefined;
    this.#codec = '';
    this.#newest = undefined;
  }
}
