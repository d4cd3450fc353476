// Comments that fly over the picture. Each is drawn once, as a small picture of its text, and then copied to its place in every frame: so
// thousands a minute cost little.

import { crossing, Lanes, standing } from './lanes.js';

export interface Flying {
  text: string;
  color: string;
  mode: string;
  own: boolean;
  /** Of the message, to take it away again. */
  offset: number;
}

interface Shown {
  comment: Flying;
  picture: HTMLCanvasElement;
  width: number;
  top: number;
  begins: number;
  /** Pixels a millisecond; 0 for one that stands. */
  speed: number;
  ends: number;
}

/** Where a comment is at the moment, in pixels of the layer. */
export interface Place {
  text: string;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const maxShown = 160; // comments on the stage at one time
const maxWaiting = 40; // that wait for a lane; then the oldest is only in the list
const patience = 3_000; // milliseconds that one waits
const fonts = 'system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif';
const colors: Record<string, string> = {
  white: '#ffffff', red: '#ff7b72', orange: '#ffae57', yellow: '#ffe16b', green: '#7ee787', cyan: '#76e3ea', blue: '#8ab4ff', purple: '#d2a8ff',
};

export class Danmaku {
  readonly #context: CanvasRenderingContext2D;
  #lanes = new Lanes(0, 0, 1);
  #scale = 1; // of the canvas: its pixels for one of the page
  #shown: Shown[] = [];
  #waiting: { comment: Flying; since: number }[] = [];
  #frame = 0;
  #on = true;

  constructor(readonly layer: HTMLCanvasElement) {
    this.#context = layer.getContext('2d')!;
    new ResizeObserver(() => this.#measure()).observe(layer);
    document.addEventListener('visibilitychange', () => document.hidden && this.clear());
    this.#measure();
    // A canvas tells nobody what is on it; this does, for tests and for the curious.
    Object.assign(layer, { places: () => this.places() });
  }

  get on(): boolean {
    return this.#on;
  }

  set on(yes: boolean) {
    this.#on = yes;
    this.layer.hidden = !yes;
    this.clear();
  }

  add(comment: Flying): void {
    if (!this.#on || document.hidden || !this.#lanes.width) return;
    // One's own comment has the next lane, and waits until there is one.
    if (comment.own) this.#waiting.unshift({ comment, since: performance.now() });
    else this.#waiting.push({ comment, since: performance.now() });
    if (this.#waiting.length > maxWaiting) this.#waiting.splice(Math.max(0, this.#waiting.findIndex((one) => !one.comment.own)), 1);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  remove(offset: number): void {
    this.#waiting = this.#waiting.filter(({ comment }) => comment.offset !== offset);
    this.#shown = this.#shown.filter(({ comment }) => comment.offset !== offset);
  }

  clear(): void {
    this.#waiting = [];
    this.#shown = [];
    this.#wipe();
  }

  places(): Place[] {
    const now = performance.now();
    return this.#shown.filter(({ ends }) => ends > now).map((one) => {
      const left = this.#left(one, now);
      return { text: one.comment.text, left, right: left + one.width, top: one.top, bottom: one.top + this.#lanes.laneHeight };
    });
  }

  #measure(): void {
    const { clientWidth: width, clientHeight: height } = this.layer;
    if (!width || (width === this.#lanes.width && this.layer.height === Math.round(height * this.#scale))) return;
    this.#scale = Math.min(2, devicePixelRatio);
    Object.assign(this.layer, { width: Math.round(width * this.#scale), height: Math.round(height * this.#scale) });
    this.#lanes = new Lanes(width, height, width < 480 ? 25 : 32);
    this.clear();
  }

  #left({ begins, speed, width }: Shown, now: number): number {
    return speed ? this.#lanes.width - (now - begins) * speed : (this.#lanes.width - width) / 2;
  }

  #draw(): void {
    const now = performance.now();
    this.#shown = this.#shown.filter(({ ends }) => ends > now);
    this.#waiting = this.#waiting.filter(({ comment, since }) => !this.#show(comment, now) && (comment.own || now - since < patience));
    this.#wipe();
    for (const one of this.#shown) {
      this.#context.drawImage(one.picture, Math.round(this.#left(one, now) * this.#scale), Math.round(one.top * this.#scale));
    }
    this.#frame = this.#shown.length + this.#waiting.length ? requestAnimationFrame(() => this.#draw()) : 0;
  }

  #wipe(): void {
    this.#context.clearRect(0, 0, this.layer.width, this.layer.height);
  }

  /** Reports whether there is room for it. */
  #show(comment: Flying, now: number): boolean {
    if (this.#shown.length >= maxShown) return false;
    const font = `650 ${Math.round(this.#lanes.laneHeight * 0.62 * this.#scale)}px ${fonts}`;
    this.#context.font = font;
    const pad = 8 * this.#scale;
    const stands = comment.mode === 'top';
    const length = Math.ceil(this.#context.measureText(comment.text).width + 2 * pad);
    const width = Math.min(length / this.#scale, stands ? this.#lanes.width : Infinity);
    const lane = stands ? this.#lanes.stand(now) : this.#lanes.fly(width, now);
    if (lane === undefined) return false;
    const speed = stands ? 0 : (this.#lanes.width + width) / crossing;
    this.#shown.push({
      comment, picture: this.#paint(comment, font, width * this.#scale, pad), width, top: lane * this.#lanes.laneHeight,
      begins: now, speed, ends: now + (stands ? standing : crossing),
    });
    return true;
  }

  #paint({ text, color, own }: Flying, font: string, width: number, pad: number): HTMLCanvasElement {
    const height = Math.floor(this.#lanes.laneHeight * this.#scale);
    const picture = Object.assign(document.createElement('canvas'), { width: Math.ceil(width), height });
    const context = picture.getContext('2d')!;
    if (own) {
      context.beginPath();
      context.roundRect(this.#scale, this.#scale, picture.width - 2 * this.#scale, height - 3 * this.#scale, 8 * this.#scale);
      context.fillStyle = 'rgb(0 0 0 / 35%)';
      context.fill();
      context.strokeStyle = '#ffffff';
      context.lineWidth = 1.5 * this.#scale;
      context.stroke();
    }
    Object.assign(context, { font, textBaseline: 'middle', lineJoin: 'round', lineWidth: 3 * this.#scale, strokeStyle: 'rgb(0 0 0 / 70%)' });
    context.strokeText(text, pad, height / 2, picture.width - 2 * pad);
    context.fillStyle = colors[color] ?? colors.white!;
    context.fillText(text, pad, height / 2, picture.width - 2 * pad);
    return picture;
  }
}
