// The server's clock, as far as it can be known from here: pictures are stamped by it, so that the delay can be told whatever the clocks of
// broadcaster and viewer say.

import type { Client } from 'duplex-client';

const samples = 4; // the quickest answer is nearest to the truth
let offset = 0;

/** Milliseconds since 1970, by the server's clock. */
export const now = () => performance.timeOrigin + performance.now() + offset;

/** Compares the clocks after each connect. Half of the way is taken for the way back. */
export function synchronise(client: Client): void {
  client.on('state', async ({ state }) => {
    if (state !== 'open') return;
    let best = Infinity;
    for (let i = 0; i < samples; i++) {
      const asked = performance.timeOrigin + performance.now();
      const answer = await client.request<{ time: number }>('demo.live.clock').catch(() => undefined);
      if (!answer) return;
      const answered = performance.timeOrigin + performance.now();
      if (answered - asked >= best) continue;
      best = answered - asked;
      offset = answer.time - (asked + answered) / 2;
    }
  });
}
