// Ticks. The timers of a page that is not in front come once a second; those of its worker come as asked for.

let timer = 0;

addEventListener('message', ({ data }: MessageEvent<number>) => {
  clearInterval(timer);
  if (data > 0) timer = setInterval(() => postMessage(0), data) as unknown as number;
});
