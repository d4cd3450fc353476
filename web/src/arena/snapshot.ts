// Reading snapshots: what the server publishes of the arena, all of it or what a tick has changed (internal/showcase/arena/snapshot.go says
// how they are written).

import type { Body } from './rules.js';

/** What everybody sees of a ship. */
export interface Ship extends Body {
  id: number;
  /** A hash of the user (ownerOf), or 0 for a bot. */
  owner: number;
  name: string;
  /** Burst, and not back yet. */
  out: boolean;
  /** Cannot be burst. */
  safe: boolean;
  score: number;
  /** The last input that has moved it. */
  ack: number;
}

/** All that there is to see at the end of a tick. */
export interface View {
  tick: number;
  /** Microseconds that a tick takes the server. */
  cost: number;
  ships: Map<number, Ship>;
  /** By their place in the server's list. In points. */
  gems: Map<number, { x: number; y: number }>;
}

const FULL = 1;
const DELTA = 2;
const [SPEED, PLACE, FLAGS, SCORE, ACK, WAIT, NEW, GONE] = [1, 2, 4, 8, 16, 32, 64, 128] as const;
const [OUT, SAFE] = [1, 2] as const;
const utf8 = new TextDecoder();

/** Whether it has everything, so that it can be read without the one before. */
export const isFull = (data: Uint8Array) => data[0] === FULL;

/** What a snapshot says, after the view of the tick before; undefined if that is not the one that it follows. Views are never changed. */
export function read(data: Uint8Array, before?: View): View | undefined {
  const reader = new Reader(data);
  const kind = reader.byte();
  const tick = reader.number();
  if (kind === FULL) {
    const view: View = { tick, cost: reader.number(), ships: new Map(), gems: new Map() };
    for (let n = reader.number(); n > 0; n--) {
      const id = reader.byte();
      view.ships.set(id, reader.ship(id));
    }
    reader.gems(view);
    return view;
  }
  if (kind !== DELTA || !before || tick !== before.tick + 1) return undefined;
  const view: View = { tick, cost: before.cost, ships: new Map(), gems: new Map(before.gems) };
  const changes = reader.changes(before);
  for (const ship of before.ships.values()) {
    // What follows from the tick before is left out.
    if (changes.has(ship.id)) continue;
    view.ships.set(ship.id, { ...ship, x: ship.x + ship.vx, y: ship.y + ship.vy, wait: Math.max(0, ship.wait - 1) });
  }
  for (const [id, ship] of changes) if (ship) view.ships.set(id, ship);
  reader.gems(view);
  return view;
}

class Reader {
  private at = 0;
  private readonly view: DataView;

  constructor(private readonly data: Uint8Array) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  byte = () => this.view.getUint8(this.at++);

  /** A varint: 7 bits a byte, the lowest first. */
  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  /** A zigzag varint: 0, -1, 1, -2, 2 … */
  signed(): number {
    const n = this.number();
    return n % 2 ? -(n + 1) / 2 : n / 2;
  }

  ship(id: number): Ship {
    const owner = this.view.getUint32(this.at, true);
    this.at += 4;
    const flags = this.byte();
    const length = this.byte();
    const name = utf8.decode(this.data.subarray(this.at, this.at += length));
    return {
      id, owner, name, out: Boolean(flags & OUT), safe: Boolean(flags & SAFE),
      x: this.number(), y: this.number(), vx: this.signed(), vy: this.signed(), wait: this.number(), score: this.number(), ack: this.number(),
    };
  }

  /** Ships that have not just gone on; undefined for those that are gone. */
  changes(before: View): Map<number, Ship | undefined> {
    const changes = new Map<number, Ship | undefined>();
    for (let n = this.number(); n > 0; n--) {
      const [id, mask] = [this.byte(), this.byte()];
      const old = before.ships.get(id);
      if (mask === GONE) changes.set(id, undefined);
      else if (mask === NEW) changes.set(id, this.ship(id));
      else if (old) changes.set(id, this.change({ ...old }, mask));
      else throw new RangeError(`a change of ship ${id}, which is not there`);
    }
    return changes;
  }

  private change(ship: Ship, mask: number): Ship {
    ship.wait = Math.max(0, ship.wait - 1);
    if (mask & SPEED) {
      ship.vx += this.signed();
      ship.vy += this.signed();
    }
    ship.x += ship.vx;
    ship.y += ship.vy;
    if (mask & PLACE) {
      ship.x += this.signed();
      ship.y += this.signed();
    }
    if (mask & FLAGS) {
      const flags = this.byte();
      [ship.out, ship.safe] = [Boolean(flags & OUT), Boolean(flags & SAFE)];
    }
    if (mask & SCORE) ship.score += this.signed();
    if (mask & ACK) ship.ack = (ship.ack + this.number()) % 65_536;
    if (mask & WAIT) ship.wait = this.number();
    return ship;
  }

  gems(view: View): void {
    for (let n = this.number(); n > 0; n--) {
      const [index, x] = [this.number(), this.number()];
      if (x) view.gems.set(index, { x, y: this.number() });
      else view.gems.delete(index);
    }
  }
}

/** How a snapshot says whose a ship is: the FNV-1a hash of the user. */
export function ownerOf(user: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(user)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return Math.max(1, hash);
}
