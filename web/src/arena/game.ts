// The game as this page knows it. Others are shown a moment in the past, between two snapshots that have come already, so they move evenly
// however unevenly snapshots come. One's own ship is shown in the present: each input moves it at once, by the server's own rules, and each
// snapshot corrects that: the ship is set to where the server says it was, and the inputs that the server did not know then are done again.

import { isDashing, step, tickTime, type Body, type Input } from './rules.js';
import { ownerOf, read, type Ship, type View } from './snapshot.js';

/** How far in the past others are shown, in ticks. */
const PAST = 2.5;
/** Ticks for which a view is kept, and for which ships go on without a snapshot. */
const KEPT = 12;
const BLIND = 4;
/** Milliseconds without a snapshot after which the game stands still. */
const STALL = 1_500;
/** Inputs that the server may not have seen: three seconds of them. */
const PENDING = 60;
/** A correction that is larger than this is no correction but another place. */
const JUMP = 250 * 32;

/** Where to draw a ship; positions as in Body, but not whole. */
export interface Shown {
  ship: Ship;
  x: number;
  y: number;
  dashing: boolean;
  own: boolean;
}

export class Game {
  /** What the server has said last. */
  view: View | undefined;
  /** This visitor's ship, as the page has it: ahead of the server. */
  own: Body | undefined;
  /** Snapshots that could not be read because one before them is missing. */
  skipped = 0;

  private views: View[] = [];
  private heard = -Infinity; // when the last snapshot came
  private start = 0; // when tick 0 would have been, by this page's clock
  private owner = 0;
  private before: Body | undefined; // own, one input ago
  private inputAt = 0;
  private correction = { x: 0, y: 0 };
  private pending: { number: number; input: Input }[] = [];

  /** Whose ship is one's own. */
  set user(user: string) {
    this.owner = ownerOf(user);
  }

  /** This visitor's ship, as the server has it. */
  get ship(): Ship | undefined {
    return this.view && this.find(this.view);
  }

  private find(view: View): Ship | undefined {
    for (const ship of view.ships.values()) if (ship.owner === this.owner) return ship;
    return undefined;
  }

  /** Takes a snapshot, and reports whether it could be read. */
  take(data: Uint8Array, now: number): boolean {
    const view = read(data, this.view);
    if (!view) {
      this.skipped++;
      return false;
    }
    const tick = this.view?.tick ?? 0;
    this.view = view;
    if (view.tick <= tick || view.tick > tick + KEPT) {
      this.views = []; // another world, or another time
      this.start = now - view.tick * tickTime;
    }
    this.views.push(view);
    if (this.views.length > KEPT) this.views.shift();
    // The clock follows the average snapshot; one that was held up hardly moves it, one that is far ahead sets it right.
    const late = now - view.tick * tickTime - this.start;
    this.start += late < -PAST * tickTime ? late : late * 0.05;
    this.heard = now;
    this.reconcile(view);
    return true;
  }

  /** Sets one's own ship to where the server says it was, and does again what the server did not know then. */
  private reconcile(view: View): void {
    const ship = this.find(view);
    if (!ship) {
      this.own = this.before = undefined;
      this.pending = [];
      return;
    }
    this.pending = this.pending.filter(({ number }) => isLater(number, ship.ack));
    let body: Body = ship;
    let before = body;
    if (!ship.out) for (const { input } of this.pending) [before, body] = [body, step(body, input)];
    if (this.own) {
      const [x, y] = [this.own.x - body.x, this.own.y - body.y];
      if (Math.hypot(x, y) > JUMP) this.correction = { x: 0, y: 0 };
      else this.correction = { x: this.correction.x + x, y: this.correction.y + y };
    }
    this.own = { x: body.x, y: body.y, vx: body.vx, vy: body.vy, wait: body.wait };
    this.before = { x: before.x, y: before.y, vx: before.vx, vy: before.vy, wait: before.wait };
    if (before === body) this.before = { ...this.own };
  }

  /** Moves one's own ship by an input that has just been sent. */
  act(number: number, input: Input, now: number): void {
    const ship = this.ship;
    if (!ship || !this.own) return;
    this.pending.push({ number, input });
    if (this.pending.length > PENDING) this.pending.shift();
    this.before = this.own;
    this.inputAt = now;
    if (!ship.out) this.own = step(this.own, input);
  }

  /** Whether there are snapshots. Without them it makes no sense to go on. */
  isLive(now: number): boolean {
    return now - this.heard < STALL;
  }

  /** Inputs that the server has not confirmed. */
  get ahead(): number {
    return this.pending.length;
  }

  /** Where all ships are at this moment, one's own last. */
  shown(now: number): Shown[] {
    const tick = (now - this.start) / tickTime - PAST;
    const later = this.views.findIndex((view) => view.tick > tick);
    const to = later < 0 ? this.views.at(-1) : this.views[later];
    if (!to) return [];
    const from = this.views[later < 0 ? this.views.length - 1 : Math.max(0, later - 1)]!;
    const all: Shown[] = [];
    for (const ship of to.ships.values()) {
      if (ship.owner !== this.owner) all.push(between(from.ships.get(ship.id), ship, from.tick, to.tick, tick));
    }
    const own = this.showOwn(now);
    return own ? [...all, own] : all;
  }

  private showOwn(now: number): Shown | undefined {
    const ship = this.ship;
    if (!ship || !this.own || !this.before) return undefined;
    // Between the last two inputs, so that twenty of them a second look like as many as the screen shows.
    const part = Math.min(1, (now - this.inputAt) / tickTime);
    const near = Math.hypot(this.own.x - this.before.x, this.own.y - this.before.y) < JUMP;
    const mix = (a: number, b: number) => (near ? a + (b - a) * part : b);
    const shown = {
      ship, own: true, dashing: isDashing(this.own),
      x: mix(this.before.x, this.own.x) + this.correction.x, y: mix(this.before.y, this.own.y) + this.correction.y,
    };
    this.correction = { x: this.correction.x * 0.86, y: this.correction.y * 0.86 };
    return shown;
  }
}

function between(from: Ship | undefined, to: Ship, since: number, until: number, tick: number): Shown {
  const shown = { ship: to, own: false, dashing: isDashing(to) };
  if (from && until > since && (from.out === to.out || to.out)) {
    const part = Math.max(0, (tick - since) / (until - since));
    return { ...shown, x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part };
  }
  const blind = Math.max(0, Math.min(BLIND, tick - until));
  return { ...shown, x: to.x + to.vx * blind, y: to.y + to.vy * blind };
}

/** Whether the number of an input is behind another one; numbers begin anew after 65,535. */
export const isLater = (number: number, other: number) => ((number - other) & 0xffff) > 0 && ((number - other) & 0xffff) < 0x8000;
