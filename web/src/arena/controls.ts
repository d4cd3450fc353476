// What the visitor does: arrow keys or WASD and the space bar; a finger that is drawn from where it was put down; a mouse button held towards
// where to go.

import { full, type Input } from './rules.js';

const directions: Record<string, [x: number, y: number]> = {
  ArrowUp: [0, -1], KeyW: [0, -1], ArrowDown: [0, 1], KeyS: [0, 1], ArrowLeft: [-1, 0], KeyA: [-1, 0], ArrowRight: [1, 0], KeyD: [1, 0],
};
/** How far a finger is drawn for full thrust, in pixels, and how little is none. */
const REACH = 60;
const REST = 6;

/** A finger that steers: where it was put down and where it is, in pixels of the stage. */
export interface Stick {
  from: { x: number; y: number };
  to: { x: number; y: number };
}

export class Controls {
  stick: Stick | undefined;
  private held = new Set<string>();
  private pointer = -1;
  private dash = false;

  /** `middle` says where on the stage one's own ship is. */
  constructor(private readonly stage: HTMLElement, private readonly middle: () => { x: number; y: number }) {
    addEventListener('keydown', (event) => this.key(event));
    addEventListener('keyup', ({ code }) => this.held.delete(code));
    addEventListener('blur', () => this.release());
    stage.addEventListener('pointerdown', (event) => this.down(event));
    stage.addEventListener('pointermove', (event) => this.drag(event));
    for (const end of ['pointerup', 'pointercancel'] as const) {
      stage.addEventListener(end, ({ pointerId }) => pointerId === this.pointer && this.drop());
    }
  }

  /** Dashes with the next input that goes somewhere. */
  wantDash(): void {
    this.dash = true;
  }

  /** What is done in this tick. */
  input(): Input {
    const { x, y } = this.direction();
    const dash = (this.dash || this.held.has('Space')) && (x !== 0 || y !== 0);
    this.dash = false;
    return { x, y, dash };
  }

  private direction(): { x: number; y: number } {
    let [x, y, thrust] = [0, 0, 1];
    for (const code of this.held) {
      const direction = directions[code];
      if (direction) [x, y] = [x + direction[0], y + direction[1]];
    }
    if (this.stick) {
      const { from, to } = this.stick;
      [x, y] = [to.x - from.x, to.y - from.y];
      thrust = Math.hypot(x, y) < REST ? 0 : Math.min(1, Math.hypot(x, y) / REACH);
    }
    const length = Math.hypot(x, y) || 1;
    return { x: Math.trunc(x / length * thrust * full), y: Math.trunc(y / length * thrust * full) };
  }

  private key(event: KeyboardEvent): void {
    const here = document.activeElement === this.stage || document.activeElement === document.body;
    if (!here || event.ctrlKey || event.metaKey || event.altKey || !(event.code in directions || event.code === 'Space')) return;
    event.preventDefault(); // else the page scrolls
    this.held.add(event.code);
    if (event.code === 'Space' && !event.repeat) this.dash = true;
  }

  private down(event: PointerEvent): void {
    if ((event.target as Element).closest('button')) return;
    if (this.pointer >= 0) { // a second finger
      this.dash = true;
      return;
    }
    this.stage.focus({ preventScroll: true });
    this.pointer = event.pointerId;
    this.stage.setPointerCapture(event.pointerId);
    const at = this.at(event);
    this.stick = { from: event.pointerType === 'mouse' ? this.middle() : at, to: at };
  }

  private drag(event: PointerEvent): void {
    if (event.pointerId === this.pointer && this.stick) this.stick.to = this.at(event);
  }

  private drop(): void {
    this.pointer = -1;
    this.stick = undefined;
  }

  private release(): void {
    this.held.clear();
    this.drop();
  }

  private at(event: PointerEvent): { x: number; y: number } {
    const { left, top } = this.stage.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }
}
