import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';
import { startPostgres } from './postgres.js';

const row = (page, id) => page.locator(`tr[data-id="${id}"]`);
const cells = async (page, id) => (await row(page, id).locator('th, td').allInnerTexts()).slice(0, 7);
const quantity = async (page, id) => (await cells(page, id))[3];
const edit = (page, id) => page.getByRole('button', { name: `Edit order ${id}` }).click();
const field = (page, name) => page.locator(`tr.editing [name="${name}"]`);

async function fill(page, values) {
  for (const [name, value] of Object.entries(values)) {
    if (name === 'status') await field(page, name).selectOption(value);
    else await field(page, name).fill(value);
  }
}

test('two windows and another program change the same table, and everybody sees all of it', async (t) => {
  const data = mkdtempSync(path.join(tmpdir(), 'duplex-orders-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const server = await startServer('127.0.0.1:0', ['--data', data]);
  const sqlite = (statement) => execFileSync('sqlite3', ['-cmd', '.timeout 5000', path.join(data, 'showcase/orders/orders.db'), statement]);
  const ann = await openPage(t, `${server.url}orders/`);
  const bob = await openPage(t, `${server.url}orders/`);
  for (const page of [ann, bob]) await row(page, 6).waitFor();

  // One adds an order, by keyboard, with what would be markup; the other sees it, and by whom.
  await ann.click('#new');
  await fill(ann, { customer: '<b>Zoe</b>', item: '<img src=x onerror=alert(1)>', quantity: '3', price: '4,50', status: 'paid' });
  await field(ann, 'price').press('Enter');
  await row(bob, 7).waitFor();
  assert.deepEqual(await cells(bob, 7), ['7', '<b>Zoe</b>', '<img src=x onerror=alert(1)>', '3', '4.50', '13.50', (await cells(bob, 7))[6]]);
  assert.match((await cells(bob, 7))[6], /^Paid\s+Guest \d+$/);
  assert.equal(await bob.locator('td img').count(), 0, 'text is text');
  await bob.locator('#feed li').first().getByText(/added 7/).waitFor();

  // Another program changes a row.
  sqlite('UPDATE orders SET quantity = 42 WHERE id = 1');
  for (const page of [ann, bob]) {
    await until(async () => await quantity(page, 1) === '42', 'the page shows what sqlite3 did');
    assert.match(await page.locator('#feed li').first().innerText(), /Another program[\s\S]*1: Quantity 2 → 42/);
  }

  // What the database refuses is told in words, in both languages, and changes nothing.
  await edit(ann, 1);
  for (const [name, bad, good, words] of [
    ['quantity', '1001', '5', 'The quantity is a whole number from 1 to 1,000.'], ['quantity', 'x', '5', 'The quantity is a whole number from 1 to 1,000.'],
    ['price', '-1', '1', 'The price is from 0 to 10,000,000.00'], ['customer', ' ', 'Ann', 'A customer has a name'], ['item', 'x'.repeat(121), 'Tea', 'at most 120 characters'],
  ]) {
    await field(ann, name).fill(bad);
    await field(ann, name).press('Enter');
    await ann.locator('.below .error').getByText(words).waitFor();
    assert.equal(await field(ann, name).getAttribute('aria-invalid'), 'true');
    await field(ann, name).fill(good);
  }
  await field(ann, 'quantity').fill('0');
  await ann.click('#site-language');
  await field(ann, 'quantity').press('Enter');
  await ann.locator('.below .error').getByText('数量是 1 到 1,000 的整数').waitFor();
  await ann.click('#site-language');
  assert.equal(await quantity(bob, 1), '42');

  // Somebody was quicker: nothing is overwritten, one is told and sees it, and may save all the same.
  await edit(bob, 2);
  await edit(ann, 2);
  await fill(ann, { quantity: '8', status: 'shipped' });
  await ann.getByRole('button', { name: 'Save', exact: true }).click();
  await fill(bob, { quantity: '9' });
  await bob.locator('.conflict').getByText(/Guest \d+ changed this order.*Quantity 1 → 8, Status New → Shipped/).waitFor();
  assert.equal(await field(bob, 'quantity').inputValue(), '9', 'what was typed stays');
  await bob.getByRole('button', { name: 'Save mine all the same' }).click();
  await until(async () => await quantity(ann, 2) === '9', 'the second edit is saved, after it was asked about');

  // While the server is away another program goes on; the pages see it when they are back.
  await edit(bob, 3);
  await server.kill();
  for (const page of [ann, bob]) await page.locator('#state[data-state="waiting"]').waitFor();
  sqlite('UPDATE orders SET quantity = 99 WHERE id = 2; DELETE FROM orders WHERE id = 3');
  await startServer(new URL(server.url).host, ['--data', data]);
  for (const page of [ann, bob]) await until(async () => await quantity(page, 2) === '99', 'what happened meanwhile is there');
  await row(ann, 3).waitFor({ state: 'detached' });
  await bob.locator('.conflict').getByText('deleted this order while you were editing it').waitFor();
  await bob.getByRole('button', { name: 'Close' }).click();

  // Deleting asks first.
  await ann.getByRole('button', { name: 'Delete order 7' }).click();
  await ann.getByRole('button', { name: 'Delete?' }).click();
  for (const page of [ann, bob]) await row(page, 7).waitFor({ state: 'detached' });
  assert.match(await bob.locator('#total').innerText(), /^4 orders worth/);
});

test('psql changes a row, the page shows it, also while the listener is cut off', async (t) => {
  const { dsn, psql } = await startPostgres(t);
  const server = await startServer('127.0.0.1:0', ['--postgres', dsn]);
  const page = await openPage(t, `${server.url}orders/`);
  await row(page, 6).waitFor();
  assert.equal(await page.locator('#database').innerText(), 'PostgreSQL');
  psql('UPDATE duplex.orders SET quantity = 42 WHERE id = 1');
  await until(async () => await quantity(page, 1) === '42', 'the page shows what psql did');
  assert.match(await row(page, 1).innerText(), /psql \/ duplex/);
  psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'duplex%'");
  psql("UPDATE duplex.orders SET status = 'cancelled' WHERE id < 3");
  psql("INSERT INTO duplex.orders (customer, item, quantity, price_cents) VALUES ('Zoe', 'Tea', 1, 5)");
  await row(page, 7).waitFor();
  await until(async () => /Cancelled/.test((await cells(page, 2))[6]), 'nothing is lost');
  await edit(page, 7);
  await fill(page, { quantity: '1001' });
  await field(page, 'quantity').press('Enter');
  await page.locator('.below .error').getByText('from 1 to 1,000').waitFor();
  await fill(page, { quantity: '1000' });
  await field(page, 'quantity').press('Enter');
  await until(() => psql('SELECT quantity FROM duplex.orders WHERE id = 7') === '1000', 'it is in the database');
  psql('TRUNCATE duplex.orders');
  await page.locator('#none').waitFor();
});
