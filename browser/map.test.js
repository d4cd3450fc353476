import assert from 'node:assert/strict';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

const { url } = await startServer();

/** A window that sees couriers. */
async function open(t, server, options) {
  const page = await openPage(t, `${server}map/`, options);
  await page.waitForFunction(() => globalThis.city?.movers.size > 3);
  return page;
}

const cells = (page) => page.evaluate(() => city.cells.names.sort());
const places = (page) => page.evaluate(() => city.movers.places);
const nameOf = (page) => page.locator('#site-me span:last-child').innerText();
const person = (page, name) => page.locator('.mover.person:not(.old)', { hasText: name });

/** Where on the screen a person is drawn. */
const spot = async (page, name) => {
  const { x, y, width, height } = await person(page, name).boundingBox();
  return { x: x + width / 2, y: y + height / 2 };
};

test('couriers move, and only what is in view is subscribed', async (t) => {
  const page = await open(t, url);
  const before = await cells(page);
  assert.ok(before.length > 3 && before.length < 60, `${before.length} cells`);
  await page.locator('#subscribed').getByText(`${before.length} of 108`).waitFor();
  await page.locator('#in-city').getByText('200 couriers, 0 people').waitFor();
  for (const { cell } of await places(page)) assert.ok(before.includes(cell), `${cell} is not subscribed`);
  // What a person sees: markers that glide over the screen.
  const rider = page.locator('.mover.riding').first();
  const id = await rider.getAttribute('data-id');
  const at = () => page.evaluate((wanted) => {
    const box = document.querySelector(`.mover[data-id="${wanted}"]`)?.getBoundingClientRect();
    return box ? box.x + box.y : NaN;
  }, id);
  const was = await at();
  await until(async () => !(Math.abs(await at() - was) < 3), 'a courier moves');

  await page.locator('#map').focus();
  await until(async () => {
    await page.keyboard.press('ArrowRight');
    const now = await cells(page);
    return now.some((cell) => !before.includes(cell)) && before.some((cell) => !now.includes(cell));
  }, 'other cells are subscribed');
  await until(async () => {
    const now = await cells(page);
    return (await places(page)).every(({ cell }) => now.includes(cell));
  }, 'nobody is left of the cells that went out of view');

  await page.evaluate(() => city.map.setZoom(13, { animate: false }));
  await until(async () => (await cells(page)).length === 0 && (await places(page)).length === 0, 'from far away there are no cells');
  await until(async () => (await page.locator('.bubble').allTextContents()).reduce((sum, n) => sum + Number(n), 0) >= 200, 'but counts');
  await page.locator('#far').waitFor();
  await page.locator('.bubble').first().click();
  await until(async () => (await cells(page)).length > 3, 'a count leads to its cell');
  assert.equal(await page.locator('.bubble').count(), 0);
});

test('a person who shares a position is seen by others, until it is stopped or the window closed', async (t) => {
  const [ann, bob] = [await open(t, url), await open(t, url)];
  const name = await nameOf(ann);
  await ann.locator('#sharing').getByText('Nobody sees where you are.').waitFor();
  await ann.click('#place');
  const box = await ann.locator('#map').boundingBox();
  await ann.locator('#map').click({ position: { x: 300, y: 200 } });
  await ann.locator('#sharing').getByText('Everybody sees you').waitFor();
  for (const page of [ann, bob]) {
    await person(page, name).waitFor();
    const { x, y } = await spot(page, name);
    assert.ok(Math.abs(x - box.x - 300) < 25 && Math.abs(y - box.y - 200) < 40, `${x}, ${y}`);
  }
  assert.equal(await ann.locator('.mover.me').count(), 1);
  assert.equal(await bob.locator('.mover.me').count(), 0);
  await bob.locator('#in-city').getByText('1 person').waitFor();

  await ann.click('#stop');
  await person(bob, name).waitFor({ state: 'detached' });
  await ann.click('#place'); // by keyboard: the middle of the map
  await ann.locator('#here').press('Enter');
  await person(bob, name).waitFor();
  await ann.goto('about:blank');
  await person(bob, name).waitFor({ state: 'detached' });
});

test('the device’s position is followed; off the map it is refused, and one may place oneself', async (t) => {
  const options = { geolocation: { latitude: 0.0012, longitude: 0.0012 }, permissions: ['geolocation'] };
  const [ann, bob] = [await open(t, url, options), await open(t, url)];
  const name = await nameOf(ann);
  await ann.click('#share');
  await person(bob, name).waitFor();
  const { x } = await spot(bob, name);
  await ann.context().setGeolocation({ latitude: 0.0012, longitude: 0.0016 });
  await until(async () => Math.abs((await spot(bob, name)).x - x) > 8, 'Bob sees Ann go on');
  await ann.context().setGeolocation({ latitude: 52.52, longitude: 13.405 });
  await ann.locator('#problem').getByText('That is off the map').waitFor();
  await person(bob, name).waitFor({ state: 'detached' });
  await ann.locator('#sharing').getByText('Click where you want to be').waitFor();
  await ann.click('#site-language');
  await ann.locator('#problem').getByText('该位置不在地图上').waitFor();

  await ann.evaluate(() => city.map.setView([0, 0], 13, { animate: false }));
  await ann.locator('#map').click({ position: { x: 30, y: 30 } });
  await ann.locator('#problem').getByText('该位置不在地图上').waitFor();
  await ann.evaluate(() => city.map.setView([0.0012, 0.0012], 16, { animate: false }));
  await ann.click('#here');
  await person(bob, name).waitFor();
  assert.ok(await ann.locator('#problem').isHidden());
});

test('everything moves on when the server was killed and started again', async (t) => {
  const server = await startServer();
  const [ann, bob] = [await open(t, server.url), await open(t, server.url)];
  const name = await nameOf(ann);
  await ann.click('#place');
  await ann.click('#here');
  await person(bob, name).waitFor();
  await server.kill();
  await bob.locator('#state[data-state="waiting"]').waitFor();
  await bob.evaluate(() => { city.before = new Map(city.movers.places.map(({ id, lat, lon }) => [id, `${lat} ${lon}`])); });
  await startServer(new URL(server.url).host);
  await until(() => bob.evaluate(() => {
    const moved = city.movers.places.filter(({ id, lat, lon }) => city.before.has(id) && city.before.get(id) !== `${lat} ${lon}`);
    return moved.length > 3 && [...document.querySelectorAll('.mover')].every((element) => !element.classList.contains('old'));
  }), 'couriers ride again');
  await ann.locator('#sharing').getByText('Everybody sees you').waitFor();
  await person(bob, name).waitFor();
});

test('cells that are not on the map, and positions that are none, are refused', async (t) => {
  const page = await open(t, url);
  const answers = await page.evaluate(() => new Promise((resolve) => {
    const socket = new WebSocket(new URL('../ws', location.href.replace('http', 'ws')));
    const got = [];
    const request = (id, data) => ({ type: 'request', id, method: 'demo.map.share', data });
    socket.onopen = () => {
      for (const command of [
        { type: 'connect', id: 1, info: { name: 'Eve' } },
        { type: 'subscribe', id: 2, topic: 'demo.map.cell.99.0' },
        { type: 'publish', id: 3, topic: 'demo.map.cell.5.4', data: { id: 'c1', gone: true } },
        request(4, { lat: 52.5, lon: 13.4 }), request(5, { lat: 'x' }), request(6, {}),
      ]) socket.send(JSON.stringify(command));
    };
    socket.onmessage = ({ data }) => {
      const { id, code } = JSON.parse(data);
      got[id] = code ?? 'done';
      if (got.filter(Boolean).length === 6) resolve(got.slice(1));
    };
  }));
  assert.deepEqual(answers, ['done', 'map.no-such-cell', 'forbidden', 'map.off-map', 'bad-request', 'map.not-a-position']);
});
