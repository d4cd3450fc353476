// What is broadcast: a camera, or an animation where there is none. Both are drawn on a canvas.

export interface Source {
  /** Draws the picture of this moment. */
  draw(context: CanvasRenderingContext2D, width: number, height: number): void;
  close(): void;
}

/** Rejects with a NotAllowedError or NotFoundError, as getUserMedia does. */
export async function camera(width: number, height: number): Promise<Source> {
  if (!navigator.mediaDevices) throw new DOMException('this page is not on a secure origin', 'SecurityError');
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width, height }, audio: false });
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.srcObject = stream;
  await video.play();
  return {
    draw(context, w, h) {
      // The whole width or height, cut where the shapes differ.
      const scale = Math.max(w / video.videoWidth, h / video.videoHeight);
      const [vw, vh] = [w / scale, h / scale];
      context.drawImage(video, (video.videoWidth - vw) / 2, (video.videoHeight - vh) / 2, vw, vh, 0, 0, w, h);
    },
    close() {
      for (const track of stream.getTracks()) track.stop();
      video.srcObject = null;
    },
  };
}

/** Hills under a sun that goes round once a minute, with the time of day. */
export function animation(): Source {
  return {
    draw(context, width, height) {
      const at = Date.now() / 1000;
      sky(context, width, height, at);
      for (let layer = 0; layer < 4; layer++) hills(context, width, height, at, layer);
      context.font = `700 ${Math.round(height / 11)}px ui-monospace, "DejaVu Sans Mono", monospace`;
      context.textAlign = 'right';
      context.fillStyle = 'rgb(255 255 255 / 92%)';
      const time = new Date();
      context.fillText(`${time.toLocaleTimeString('en-GB')}.${Math.floor(time.getMilliseconds() / 100)}`, width - height / 18, height - height / 16);
    },
    close() {},
  };
}

function sky(context: CanvasRenderingContext2D, width: number, height: number, at: number): void {
  const turn = (at / 60) * 2 * Math.PI;
  const day = (1 - Math.cos(turn)) / 2; // 0 at night
  const gradient = context.createLinearGradient(0, 0, 0, height);
  gradient.addColorStop(0, `hsl(${215 + 15 * day} 55% ${14 + 34 * day}%)`);
  gradient.addColorStop(1, `hsl(${20 + 170 * day} ${75 - 20 * day}% ${38 + 36 * day}%)`);
  context.fillStyle = gradient;
  context.fillRect(0, 0, width, height);
  context.fillStyle = `hsl(${40 + 12 * day} 95% ${70 + 18 * day}%)`;
  context.beginPath();
  context.arc(width / 2 - Math.sin(turn) * width * 0.36, height * (0.62 - 0.42 * day), height / 9, 0, 2 * Math.PI);
  context.fill();
}

function hills(context: CanvasRenderingContext2D, width: number, height: number, at: number, layer: number): void {
  context.fillStyle = `hsl(${172 - layer * 5} ${30 + layer * 7}% ${46 - layer * 10}%)`;
  context.beginPath();
  context.moveTo(0, height);
  for (let x = 0; x < width + 6; x += 6) {
    const far = x / height + at * (0.05 + layer * 0.07);
    const y = Math.sin(far * (1.5 + layer * 0.4) + layer * 2) + 0.45 * Math.sin(far * 3.7 + layer * 5);
    context.lineTo(x, height * (0.5 + layer * 0.12 - y * 0.055));
  }
  context.lineTo(width, height);
  context.fill();
}
