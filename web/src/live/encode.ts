// From pictures to bytes: WebCodecs where there is one, JPEG otherwise.

import type { Codec } from './frame.js';

/** A picture that is ready to be sent. */
export interface Encoded {
  codec: Codec;
  key: boolean;
  captured: number;
  payload: Uint8Array<ArrayBuffer>;
}

export interface Encoder {
  readonly codec: Codec;
  /** Whether it has room for another picture. */
  readonly ready: boolean;
  encode(canvas: HTMLCanvasElement, captured: number, key: boolean): void;
  close(): void;
}

interface Wanted {
  width: number;
  height: number;
  fps: number;
  /** Bits a second, for a codec that can be told. */
  bitrate: number;
}

const strings: Record<Exclude<Codec, 'jpeg'>, string> = { vp8: 'vp8', vp9: 'vp09.00.31.08', h264: 'avc1.42E01F' };

/** The name of a codec for WebCodecs. */
export const codecString = (codec: Exclude<Codec, 'jpeg'>) => strings[codec];

/** The first codec that this browser can encode live, cheapest first. */
export async function makeEncoder(wanted: Wanted, onlyJpeg: boolean, out: (encoded: Encoded) => void, failed: () => void): Promise<Encoder> {
  if (!onlyJpeg && 'VideoEncoder' in window) {
    for (const codec of ['vp8', 'vp9', 'h264'] as const) {
      const config = configOf(codec, wanted);
      const { supported } = await VideoEncoder.isConfigSupported(config).catch(() => ({ supported: false }));
      if (supported) return videoEncoder(codec, config, out, failed);
    }
  }
  return jpegEncoder(out);
}

const configOf = (codec: Exclude<Codec, 'jpeg'>, { width, height, fps, bitrate }: Wanted): VideoEncoderConfig => ({
  codec: strings[codec], width, height, bitrate, framerate: fps, latencyMode: 'realtime', ...(codec === 'h264' && { avc: { format: 'annexb' } }),
});

function videoEncoder(codec: Exclude<Codec, 'jpeg'>, config: VideoEncoderConfig, out: (encoded: Encoded) => void, failed: () => void): Encoder {
  const encoder = new VideoEncoder({
    output(chunk) {
      const payload = new Uint8Array(chunk.byteLength);
      chunk.copyTo(payload);
      out({ codec, key: chunk.type === 'key', captured: chunk.timestamp / 1000, payload });
    },
    error: failed,
  });
  encoder.configure(config);
  return {
    codec,
    get ready() {
      return encoder.state === 'configured' && encoder.encodeQueueSize < 3;
    },
    encode(canvas, captured, key) {
      const frame = new VideoFrame(canvas, { timestamp: Math.round(captured) * 1000 }); // microseconds
      encoder.encode(frame, { keyFrame: key });
      frame.close();
    },
    close() {
      if (encoder.state !== 'closed') encoder.close();
    },
  };
}

const largest = 512 << 10; // bytes, as the server takes them

function jpegEncoder(out: (encoded: Encoded) => void): Encoder {
  let busy = false;
  let closed = false;
  let quality = 0.72;
  return {
    codec: 'jpeg',
    get ready() {
      return !busy && !closed;
    },
    encode(canvas, captured) {
      busy = true;
      canvas.toBlob(async (blob) => {
        const payload = blob && new Uint8Array(await blob.arrayBuffer());
        busy = false;
        if (closed || !payload) return;
        if (payload.length > largest) quality *= 0.8;
        else out({ codec: 'jpeg', key: true, captured, payload });
      }, 'image/jpeg', quality);
    },
    close() {
      closed = true;
    },
  };
}
