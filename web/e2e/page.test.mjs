// The page in a real browser against a running server that holds some logs.
//   WEIR_URL=http://127.0.0.1:3000 WEIR_SHOTS=/tmp/shots node --test e2e/page.test.mjs
// WEIR_CHROMIUM names the browser (/usr/bin/chromium), WEIR_SHOTS where screenshots go (none without it).
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const url = process.env.WEIR_URL;
const shots = process.env.WEIR_SHOTS;
const skip = url ? false : "WEIR_URL is not set";
const flags = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

let browser;
before(async () => {
  if (skip) return;
  if (shots) mkdirSync(shots, { recursive: true });
  browser = await chromium.launch({ executablePath: process.env.WEIR_CHROMIUM ?? "/usr/bin/chromium", args: flags });
});
after(async () => browser?.close());

/** A page that collects whatever went wrong, and every request that left the origin. */
async function open(hash = "", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (m) => {
    if (m.type() === "error" && !/status of 400/.test(m.text())) wrong.push(m.text());
  });
  page.on("pageerror", (e) => wrong.push(String(e)));
  page.on("request", (r) => {
    if (new URL(r.url()).origin !== new URL(url).origin) wrong.push(`request to ${r.url()}`);
  });
  await page.goto(new URL("/" + hash, url).href);
  return { page, wrong, close: () => context.close() };
}

const state = (query, more = "") => `#q=${encodeURIComponent(query)}&range=24h&refresh=0${more}`;
const everything = state('{service_name=~".+"}');
const queryText = (page) => page.locator(".cm-content").innerText();
const setQuery = async (page, text) => {
  await page.keyboard.press("/");
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(text);
  await page.keyboard.press("Control+Enter");
};
const shot = async (page, name) => {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`) });
};

test("the page loads and shows lines and their volume", { skip }, async () => {
  const { page, wrong, close } = await open(everything);
  await page.locator(".line").first().waitFor();
  await page.locator(".level-toggle").first().waitFor();
  assert.match(await queryText(page), /service_name/);
  assert.deepEqual(wrong, []);
  await close();
});

test("without a state in its address it shows the last 15 minutes, refreshing", { skip }, async () => {
  const { page, wrong, close } = await open();
  await page.waitForFunction(() => location.hash.includes("range=15m"));
  assert.match(await page.evaluate(() => location.hash), /refresh=5/);
  assert.equal((await queryText(page)).trim(), '{service_name=~".+"}');
  assert.deepEqual(wrong, []);
  await close();
});

test("choosing a label value filters, choosing a second one widens", { skip }, async () => {
  const { page, wrong, close } = await open(everything);
  const boxes = page.locator(".label li input");
  await boxes.first().waitFor();
  const name = await page.locator(".label li label span").first().innerText();
  await boxes.first().check();
  await page.waitForFunction((n) => [...document.querySelectorAll(".service")].every((s) => s.textContent === n), name);
  assert.ok((await queryText(page)).includes(`{service_name="${name}"}`));
  if ((await boxes.count()) > 1) {
    await page.locator(".label li input:not(:checked)").first().check();
    await page.waitForFunction(() => document.querySelector(".cm-content")?.textContent?.includes("=~"));
  }
  assert.deepEqual(wrong, []);
  await close();
});

test("a bad query is marked and explained, and the lines stay", { skip }, async () => {
  const { page, wrong, close } = await open(everything);
  await page.locator(".line").first().waitFor();
  await setQuery(page, '{service_name=~".+"} |= foo');
  await page.locator(".query-error strong").waitFor();
  assert.match(await page.locator(".query-error").innerText(), /unexpected/);
  assert.equal(await page.locator(".query-error-mark").innerText(), "foo");
  assert.ok((await page.locator(".line").count()) > 0);
  await shot(page, "error");
  await setQuery(page, '{service_name=~".+"}');
  await page.locator(".query-error:empty").waitFor({ state: "attached" });
  assert.deepEqual(wrong, []);
  await close();
});

test("details open with their groups, a click filters, Escape closes", { skip }, async () => {
  const { page, wrong, close } = await open(everything);
  const head = page.locator(".line-head").nth(1);
  await head.click();
  await page.getByRole("region", { name: "Labels" }).first().waitFor();
  await shot(page, "details");
  await page.keyboard.press("Escape");
  await page.locator(".details").waitFor({ state: "detached" });
  await head.focus();
  await page.keyboard.press("Enter");
  await page.getByLabel(/^Filter for service_name =/).click();
  await page.waitForFunction(() => /service_name="/.test(document.querySelector(".cm-content")?.textContent ?? ""));
  assert.deepEqual(wrong, []);
  await close();
});

test("a level of the legend filters and lets go again", { skip }, async () => {
  const { page, wrong, close } = await open(everything);
  const toggles = page.locator(".level-toggle");
  await toggles.first().waitFor();
  if ((await toggles.count()) > 1) {
    await toggles.first().click();
    await page.waitForFunction(() => /level/.test(document.querySelector(".cm-content")?.textContent ?? ""));
    await page.locator('.level-toggle[aria-pressed="true"]').click();
    await page.waitForFunction(() => !/level/.test(document.querySelector(".cm-content")?.textContent ?? ""));
  }
  assert.deepEqual(wrong, []);
  await close();
});

test("a metric query draws a chart", { skip }, async () => {
  const { page, wrong, close } = await open(state('sum by (service_name) (count_over_time({service_name=~".+"}[5m]))'));
  await page.locator(".series tbody tr").first().waitFor();
  await page.locator(".metric canvas").waitFor();
  await shot(page, "metric");
  assert.deepEqual(wrong, []);
  await close();
});

test("an unreachable server is reported, and the page recovers by itself", { skip }, async () => {
  const { page, close } = await open(everything);
  await page.locator(".line").first().waitFor();
  await page.route("**/loki/**", (route) => route.abort());
  await page.getByRole("button", { name: "Run the query" }).click();
  await page.locator(".offline").waitFor();
  assert.ok((await page.locator(".line").count()) > 0);
  await page.unroute("**/loki/**");
  await page.locator(".offline").waitFor({ state: "detached", timeout: 15_000 });
  await close();
});

for (const [name, colorScheme, width, height] of [
  ["light-1400", "light", 1400, 900], ["dark-1400", "dark", 1400, 900],
  ["light-800", "light", 800, 900], ["light-320", "light", 320, 640], ["dark-320", "dark", 320, 640],
]) {
  test(`nothing overflows: ${name}`, { skip }, async () => {
    const { page, wrong, close } = await open(everything, { colorScheme, viewport: { width, height } });
    await page.locator(".line").first().waitFor();
    await page.locator(".level-toggle").first().waitFor();
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), colorScheme);
    await shot(page, name);
    assert.deepEqual(wrong, []);
    await close();
  });
}
