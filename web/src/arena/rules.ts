// How a ship moves: the same rules as the server's (internal/showcase/arena/rules.go), so that the page can run ahead of it. Whole numbers,
// and divisions that round to zero: both sides agree to the bit, which the same vectors prove for both (testdata/steps.json).

export const unit = 32; // positions are in 1/32 of a point, speeds in that for each tick
export const field = 2000 * unit; // the arena is a square of this
export const radius = 20 * unit;
export const full = 100; // the longest that an input's direction may be
export const tickTime = 50; // ms
export const cooldown = 40; // ticks from one dash to the next

const thrust = 52;
const drag = 8;
const kick = 900;
const dashing = 9;

/** What of a ship moves: its middle, its speed, and the ticks until it may dash again. */
export interface Body {
  x: number;
  y: number;
  vx: number;
  vy: number;
  wait: number;
}

/** What a pilot does in one tick: a direction no longer than `full`, and whether to dash there. */
export interface Input {
  x: number;
  y: number;
  dash: boolean;
}

const divide = (a: number, b: number) => Math.trunc(a / b);

/** A body one tick later. */
export function step({ x, y, vx, vy, wait }: Body, input: Input): Body {
  wait = Math.max(0, wait - 1);
  if (input.dash && wait === 0 && (input.x || input.y)) {
    vx += divide(input.x * kick, full);
    vy += divide(input.y * kick, full);
    wait = cooldown;
  }
  [x, vx] = move(x, vx + divide(input.x * thrust, full));
  [y, vy] = move(y, vy + divide(input.y * thrust, full));
  return { x, y, vx, vy, wait };
}

/** A step in one direction: drag, and walls that give back half of the speed. */
function move(at: number, speed: number): [at: number, speed: number] {
  speed -= divide(speed, drag) + Math.sign(speed);
  at += speed;
  if (at < radius) return [radius, divide(-speed, 2)];
  if (at > field - radius) return [field - radius, divide(-speed, 2)];
  return [at, speed];
}

/** Whether it bursts whom it hits. */
export const isDashing = ({ wait }: { wait: number }) => wait > cooldown - dashing;
