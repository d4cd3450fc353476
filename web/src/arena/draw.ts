// Draws the arena on a canvas: what is around one's own ship, or around whoever leads for those who only watch.

import { hue } from '../shared/dom.js';
import type { Stick } from './controls.js';
import type { Game, Shown } from './game.js';
import { cooldown, field, radius, unit } from './rules.js';
import { Sparks } from './sparks.js';

const SIZE = field / unit;
const RADIUS = radius / unit;
const GRID = 100;
const BEYOND = 90; // points that can be seen behind a wall
const TURN = 2 * Math.PI;

/** The colours of the moment, from the style sheet. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const probe = document.createElement('span');
  document.body.append(probe);
  const read = (name: string) => {
    probe.style.color = style.getPropertyValue(name); // light-dark() resolves only where a colour is used
    return getComputedStyle(probe).color;
  };
  const names = ['--bg', '--surface', '--sunken', '--line', '--ink', '--muted', '--accent'] as const;
  const [bg, surface, sunken, line, ink, muted, accent] = names.map(read) as [string, string, string, string, string, string, string];
  probe.style.colorScheme = '';
  const dark = luminance(bg) < 0.5;
  probe.remove();
  return { bg, surface, sunken, line, ink, muted, accent, dark };
}

/** About how light an rgb() is, from 0 to 1. */
function luminance(color: string): number {
  const [r = 0, g = 0, b = 0] = (color.match(/[\d.]+/g) ?? []).map(Number);
  return (r + g + b) / 765;
}

export class Painter {
  private colors = palette();
  private middle: { x: number; y: number } | undefined; // of one's own ship
  private camera = { x: SIZE / 2, y: SIZE / 2 };
  private sparks = new Sparks();
  private seen = new Map<number, { out: boolean; score: number }>();
  private width = 0;
  private height = 0;
  private scale = 1;
  private readonly paper: CanvasRenderingContext2D;
  private readonly calm = matchMedia('(prefers-reduced-motion: reduce)');

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.paper = canvas.getContext('2d', { alpha: false })!;
    new ResizeObserver(() => this.fit()).observe(canvas);
    const recolor = () => { this.colors = palette(); };
    addEventListener('duplex-theme', recolor);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recolor);
    this.fit();
  }

  private fit(): void {
    const ratio = Math.min(2, devicePixelRatio);
    const { clientWidth, clientHeight } = this.canvas;
    [this.width, this.height] = [clientWidth, clientHeight];
    [this.canvas.width, this.canvas.height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    this.scale = Math.max(0.55, Math.min(1.2, Math.sqrt(clientWidth * clientHeight) / 760));
  }

  draw(game: Game, now: number, stick: Stick | undefined): void {
    const { paper, width, height, scale } = this;
    const ratio = this.canvas.width / (width || 1);
    const ships = game.shown(now);
    this.follow(ships);
    this.celebrate(ships, now);
    paper.setTransform(ratio, 0, 0, ratio, 0, 0);
    paper.fillStyle = this.colors.sunken;
    paper.fillRect(0, 0, width, height);
    const [left, top] = [width / 2 - this.camera.x * scale, height / 2 - this.camera.y * scale];
    paper.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * left, ratio * top);
    this.drawGround();
    for (const [index, gem] of game.view?.gems ?? []) this.drawGem(index, gem, now);
    for (const shown of ships) if (!shown.ship.out && this.isInSight(shown.x / unit, shown.y / unit)) this.drawShip(shown, now);
    this.sparks.draw(paper, now);
    paper.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawMap(ships);
    if (stick) this.drawStick(stick);
  }

  /** Where one's own ship is on the canvas, in pixels; the middle if there is none. */
  get own(): { x: number; y: number } {
    const { x, y } = this.middle ?? this.camera;
    return { x: this.width / 2 + (x - this.camera.x) * this.scale, y: this.height / 2 + (y - this.camera.y) * this.scale };
  }

  /** One's own ship is in the middle, but near a wall; a leader is gone to slowly. */
  private follow(ships: Shown[]): void {
    const own = ships.at(-1)?.own ? ships.at(-1)! : undefined;
    this.middle = own && { x: own.x / unit, y: own.y / unit };
    if (this.middle) {
      const within = (at: number, size: number) => {
        const least = size / this.scale / 2 - BEYOND;
        return least > SIZE / 2 ? SIZE / 2 : Math.max(least, Math.min(SIZE - least, at));
      };
      this.camera = { x: within(this.middle.x, this.width), y: within(this.middle.y, this.height) };
      return;
    }
    const better = (one: Shown, best?: Shown) => !one.ship.out && (!best || one.ship.score > best.ship.score);
    const leader = ships.reduce<Shown | undefined>((best, one) => (better(one, best) ? one : best), undefined);
    if (!leader) return;
    this.camera.x += (leader.x / unit - this.camera.x) * 0.06;
    this.camera.y += (leader.y / unit - this.camera.y) * 0.06;
  }

  /** Sparks where a ship has burst or taken a gem. */
  private celebrate(ships: Shown[], now: number): void {
    for (const { ship, x, y } of ships) {
      const before = this.seen.get(ship.id);
      if (before && !this.calm.matches && this.isInSight(x / unit, y / unit)) {
        if (ship.out && !before.out) this.sparks.add(x / unit, y / unit, 26, hue(ship.name), now);
        else if (ship.score > before.score) this.sparks.add(x / unit, y / unit, 4, 48, now);
      }
      this.seen.set(ship.id, { out: ship.out, score: ship.score });
    }
  }

  private isInSight(x: number, y: number): boolean {
    const margin = 3 * RADIUS;
    const { camera, width, height, scale } = this;
    return Math.abs(x - camera.x) < width / scale / 2 + margin && Math.abs(y - camera.y) < height / scale / 2 + margin;
  }

  private drawGround(): void {
    const { paper, colors } = this;
    paper.fillStyle = colors.surface;
    paper.beginPath();
    paper.roundRect(0, 0, SIZE, SIZE, 24);
    paper.fill();
    paper.beginPath();
    for (let at = GRID; at < SIZE; at += GRID) {
      paper.moveTo(at, 4);
      paper.lineTo(at, SIZE - 4);
      paper.moveTo(4, at);
      paper.lineTo(SIZE - 4, at);
    }
    paper.strokeStyle = colors.line;
    paper.globalAlpha = 0.55;
    paper.lineWidth = 1;
    paper.stroke();
    paper.globalAlpha = 1;
    paper.strokeStyle = colors.accent;
    paper.lineWidth = 5;
    paper.beginPath();
    paper.roundRect(0, 0, SIZE, SIZE, 24);
    paper.stroke();
  }

  private drawGem(index: number, { x, y }: { x: number; y: number }, now: number): void {
    if (!this.isInSight(x, y)) return;
    const { paper } = this;
    const size = this.calm.matches ? 8 : 8 + Math.sin(now / 300 + index);
    const shade = (index * 47) % 360;
    const half = (light: number, side: number) => {
      paper.fillStyle = `oklch(${light} .16 ${shade})`;
      paper.beginPath();
      paper.moveTo(x, y - size * 1.2);
      paper.lineTo(x + side * size * 0.85, y);
      paper.lineTo(x, y + size * 1.2);
      paper.fill();
    };
    half(this.colors.dark ? 0.82 : 0.74, -1);
    half(this.colors.dark ? 0.68 : 0.6, 1);
  }

  private drawShip({ ship, x: wholeX, y: wholeY, dashing, own }: Shown, now: number): void {
    const { paper, colors } = this;
    const [x, y] = [wholeX / unit, wholeY / unit];
    const shade = hue(ship.name);
    const speed = Math.hypot(ship.vx, ship.vy);
    if (dashing && speed > unit) {
      const [dx, dy] = [ship.vx / speed, ship.vy / speed];
      for (let i = 3; i > 0; i--) {
        paper.fillStyle = `oklch(.72 .16 ${shade} / ${0.28 - i * 0.07})`;
        paper.beginPath();
        paper.arc(x - dx * i * 14, y - dy * i * 14, RADIUS - i * 3, 0, TURN);
        paper.fill();
      }
    }
    paper.fillStyle = `oklch(${colors.dark ? 0.68 : 0.6} .15 ${shade})`;
    paper.beginPath();
    paper.arc(x, y, RADIUS, 0, TURN);
    paper.fill();
    paper.lineWidth = own ? 4 : 2;
    paper.strokeStyle = own ? colors.ink : `oklch(${colors.dark ? 0.84 : 0.45} .12 ${shade})`;
    paper.stroke();
    this.drawEyes(x, y, ship.vx, ship.vy, speed);
    if (ship.safe) {
      paper.strokeStyle = colors.accent;
      paper.lineWidth = 2;
      paper.setLineDash([6, 5]);
      paper.lineDashOffset = this.calm.matches ? 0 : now / 40;
      paper.beginPath();
      paper.arc(x, y, RADIUS + 7, 0, TURN);
      paper.stroke();
      paper.setLineDash([]);
    }
    if (own && ship.wait > 0) {
      paper.strokeStyle = colors.muted;
      paper.lineWidth = 3;
      paper.beginPath();
      paper.arc(x, y, RADIUS + 5, -TURN / 4, -TURN / 4 + TURN * (1 - ship.wait / cooldown));
      paper.stroke();
    }
    this.drawName(ship.name, ship.owner !== 0, x, y);
  }

  /** Two eyes look where it goes. */
  private drawEyes(x: number, y: number, vx: number, vy: number, speed: number): void {
    const { paper } = this;
    const [dx, dy] = speed > 8 ? [vx / speed, vy / speed] : [0, 1]; // who rests looks down
    for (const side of [-1, 1]) {
      const [ex, ey] = [x + dx * 6 - dy * side * 7, y + dy * 6 + dx * side * 7];
      paper.fillStyle = '#fff';
      paper.beginPath();
      paper.arc(ex, ey, 5.5, 0, TURN);
      paper.fill();
      paper.fillStyle = '#12201c';
      paper.beginPath();
      paper.arc(ex + dx * 2.4, ey + dy * 2.4, 2.8, 0, TURN);
      paper.fill();
    }
  }

  private drawName(name: string, person: boolean, x: number, y: number): void {
    const { paper, colors } = this;
    paper.font = `${person ? 650 : 500} 13px system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif`;
    paper.textAlign = 'center';
    paper.lineWidth = 3.5;
    paper.lineJoin = 'round';
    paper.strokeStyle = colors.surface;
    paper.strokeText(name, x, y - RADIUS - 9);
    paper.fillStyle = person ? colors.ink : colors.muted;
    paper.fillText(name, x, y - RADIUS - 9);
  }

  /** Everybody, small, in a corner. */
  private drawMap(ships: Shown[]): void {
    const { paper, colors, width, height } = this;
    const size = width < 520 ? 84 : 128;
    const [left, top] = [width - size - 12, height - size - 12];
    paper.globalAlpha = 0.82;
    paper.fillStyle = colors.sunken;
    paper.strokeStyle = colors.line;
    paper.lineWidth = 1;
    paper.beginPath();
    paper.roundRect(left, top, size, size, 10);
    paper.fill();
    paper.stroke();
    paper.globalAlpha = 1;
    for (const { ship, x, y, own } of ships) {
      if (ship.out) continue;
      paper.fillStyle = own ? colors.ink : ship.owner ? colors.accent : `oklch(.65 .13 ${hue(ship.name)})`;
      paper.beginPath();
      paper.arc(left + (x / field) * size, top + (y / field) * size, own ? 4 : ship.owner ? 3 : 1.8, 0, TURN);
      paper.fill();
    }
  }

  private drawStick({ from, to }: Stick): void {
    const { paper, colors } = this;
    if (Math.hypot(to.x - from.x, to.y - from.y) < 1) return;
    paper.strokeStyle = colors.muted;
    paper.globalAlpha = 0.5;
    paper.lineWidth = 2;
    paper.beginPath();
    paper.arc(from.x, from.y, 60, 0, TURN);
    paper.stroke();
    paper.fillStyle = colors.muted;
    paper.beginPath();
    paper.arc(to.x, to.y, 22, 0, TURN);
    paper.fill();
    paper.globalAlpha = 1;
  }
}
