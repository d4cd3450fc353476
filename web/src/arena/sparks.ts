// Sparks that fly where something happens. They are decoration: nobody but this page knows of them.

interface Spark {
  x: number;
  y: number;
  dx: number;
  dy: number;
  hue: number;
  born: number;
}

const LIFE = 600; // ms
const MOST = 300;

export class Sparks {
  private all: Spark[] = [];

  add(x: number, y: number, count: number, hue: number, now: number): void {
    for (let i = 0; i < count && this.all.length < MOST; i++) {
      const angle = Math.random() * 2 * Math.PI;
      const speed = 0.04 + Math.random() * 0.16;
      this.all.push({ x, y, dx: Math.cos(angle) * speed, dy: Math.sin(angle) * speed, hue, born: now });
    }
  }

  draw(paper: CanvasRenderingContext2D, now: number): void {
    this.all = this.all.filter(({ born }) => now - born < LIFE);
    for (const { x, y, dx, dy, hue, born } of this.all) {
      const age = (now - born) / LIFE;
      paper.fillStyle = `oklch(.75 .17 ${hue} / ${1 - age})`;
      paper.beginPath();
      paper.arc(x + dx * age * LIFE, y + dy * age * LIFE, 4 * (1 - age) + 1, 0, 2 * Math.PI);
      paper.fill();
    }
  }
}
