// Tests the report page and the page of a run in Chromium: node --test page.test.mjs, with REPORT=…/report/index.html and
// LARGE=…/report/index.html of 495 runs
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { HtmlValidate } from "html-validate";
import { chromium } from "playwright-core";

const { REPORT: INDEX, LARGE } = process.env;
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const VIEWS = [1280, 400].flatMap((width) => ["light", "dark"].map((scheme) => [width, scheme]));

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
});
after(() => browser?.close());

async function opened(file, options = {}) {
  const context = await browser.newContext({ bypassCSP: true, ...options });
  context.setDefaultTimeout(150_000);
  const page = await context.newPage();
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(pathToFileURL(file).href);
  return { page, context, requests: () => requests.filter((url) => !url.startsWith("data:")) };
}

async function runPage() {
  const { page, context } = await opened(INDEX);
  const href = await page.locator("#runs tbody a").first().getAttribute("href");
  await context.close();
  return new URL(href, pathToFileURL(INDEX)).pathname;
}

async function serious(page) {
  await page.addScriptTag({ path: AXE });
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const bad = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  return bad.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 160)).join(" | ")}`);
}

// Pairs of neighbouring text blocks whose boxes overlap, and text that its own box cuts off.
function overlaps() {
  const parts = ".contents, header > *, .cards > *, .card > *, .terms > *, .numbers > *, main section > *, figcaption, .facts > *";
  const shown = [...document.querySelectorAll(parts)].filter((element) => element.offsetHeight);
  const found = [];
  for (const element of shown) {
    const next = element.nextElementSibling;
    if (!next?.offsetHeight) continue;
    const [a, b] = [element.getBoundingClientRect(), next.getBoundingClientRect()];
    const deep = Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    if (deep) found.push(`${element.outerHTML.slice(0, 80)} overlaps ${next.outerHTML.slice(0, 80)}`);
  }
  for (const label of document.querySelectorAll("h1, h2, h3, th, td, .badge, .tag, dt, dd, .contents a")) {
    if (label.scrollWidth > label.clientWidth + 1 && getComputedStyle(label).display !== "inline") {
      found.push(`cut: ${label.outerHTML.slice(0, 120)}`);
    }
  }
  return found;
}

test("each view has no horizontal scroll, overlap or serious fault of accessibility", async () => {
  const run = await runPage();
  for (const [width, colorScheme] of VIEWS) {
    for (const file of [INDEX, run]) {
      const { page, context, requests } = await opened(file, { viewport: { width, height: 900 }, colorScheme });
      const view = `${file}, ${width} px, ${colorScheme}`;
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${view} scrolls`);
      assert.deepEqual(await page.evaluate(overlaps), [], view);
      assert.deepEqual(await serious(page), [], view);
      assert.deepEqual(requests(), [pathToFileURL(file).href], view);
      await context.close();
    }
  }
});

test("no table hides columns at 1280 px, and the contents stay visible", async () => {
  const { page, context } = await opened(INDEX, { viewport: { width: 1280, height: 900 } });
  const hidden = await page.evaluate(() =>
    [...document.querySelectorAll("main > section > .scroll:has(table)")]
      .filter((box) => box.scrollWidth > box.clientWidth + 1)
      .map((box) => box.ariaLabel));
  assert.deepEqual(hidden, []);
  await page.locator("#about").scrollIntoViewIfNeeded();
  const top = await page.evaluate(() => document.querySelector(".contents a").getBoundingClientRect().top);
  assert.ok(top >= 0 && top < 900, `contents at ${top}`);
  assert.ok(await page.evaluate(() => document.querySelectorAll(".card").length >= 4));
  await context.close();
});

test("on A4 paper nothing is wider than the page, and every image of a pair is printed", async () => {
  const { page, context } = await opened(INDEX, { viewport: { width: 688, height: 1000 }, colorScheme: "dark" });
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  const wide = await page.evaluate(() =>
    [...document.querySelectorAll("table, figure svg, figure img, dl, .card")]
      .filter((box) => box.getBoundingClientRect().right > innerWidth + 1)
      .map((box) => box.parentElement.ariaLabel ?? box.outerHTML.slice(0, 80)));
  assert.deepEqual(wide, []);
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(ground, "rgb(253, 253, 251)");
  const frames = await page.locator("figure.pair .frame").evaluateAll((all) =>
    all.map((frame) => [frame.getBoundingClientRect().top, getComputedStyle(frame).clipPath]));
  assert.ok(frames.length >= 2 && frames[0][0] < frames[1][0] && frames.every(([, clip]) => clip === "none"), `${frames}`);
  assert.equal(await page.locator("input:visible").count(), 0);
  await context.close();
});

test("a table sorts in both directions, by mouse and keyboard", async () => {
  const { page, context } = await opened(INDEX);
  const table = page.locator("#runs table").first();
  const names = () => table.locator("tbody tr td:first-child").allTextContents();
  const before = await names();
  const head = table.locator("thead th").first();
  await head.locator("button").click();
  const up = await names();
  assert.deepEqual(up, [...before].sort((a, b) => a.localeCompare(b, "en", { numeric: true })));
  assert.equal(await head.getAttribute("aria-sort"), "ascending");
  await head.locator("button").press("Enter");
  assert.deepEqual(await names(), [...up].reverse());
  assert.equal(await head.getAttribute("aria-sort"), "descending");
  await context.close();
});

test("the slider divides the images of baseline and SLIM, by keyboard", async () => {
  const { page, context } = await opened(INDEX);
  const figure = page.locator("figure.pair").first();
  const slider = figure.locator("input[type=range]");
  const clip = () => figure.locator(".frame").last().evaluate((frame) => getComputedStyle(frame).clipPath);
  const half = await clip();
  await slider.press("Home");
  assert.equal(await slider.inputValue(), "0");
  assert.notEqual(await clip(), half);
  await slider.press("End");
  assert.match(await slider.getAttribute("aria-valuetext"), /^100 %/);
  const boxes = await figure.locator(".frame").evaluateAll((all) => all.map((frame) => frame.getBoundingClientRect().top));
  assert.equal(boxes[0], boxes[1]);
  await context.close();
});

test("a protocol id opens by keyboard", async () => {
  const { page, context } = await opened(INDEX);
  const label = page.locator("details.id > summary").first();
  await label.focus();
  await page.keyboard.press("Enter");
  assert.ok((await page.locator("details.id[open] code").first().innerText()).includes("/"));
  await context.close();
});

test("without JavaScript all content is there, and a run opens", async () => {
  const { page, context } = await opened(INDEX, { javaScriptEnabled: false });
  assert.equal(await page.locator("button, input").count(), 0);
  const tables = await page.locator("main table").count();
  const images = await page.locator("figure.pair img").evaluateAll((all) => all.map((image) => image.offsetHeight));
  assert.ok(tables > 5 && images.length >= 2 && images.every((height) => height > 20), `${tables} ${images}`);
  await page.locator("#runs tbody a").first().click();
  for (const title of ["Scores", "Protocols", "History", "Commands", "Hashes and environment", "Configuration"]) {
    assert.equal(await page.getByRole("heading", { name: title, exact: true }).count(), 1, title);
  }
  await page.locator(".back a").click();
  assert.ok(page.url().includes("/index.html"));
  await context.close();
});

test("the index of 495 runs opens in less than 3 seconds", async () => {
  const seconds = [];
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const { page, context } = await opened(LARGE);
    seconds.push(await page.evaluate(() => performance.getEntriesByType("navigation")[0].loadEventEnd / 1000));
    assert.equal(await page.locator("#runs tbody tr").count(), 495);
    await context.close();
  }
  assert.ok(Math.min(...seconds) < 3, `${seconds}`);
});

test("the HTML is valid", async () => {
  const validator = new HtmlValidate({ extends: ["html-validate:standard"] });
  for (const file of [INDEX, await runPage()]) {
    const report = await validator.validateString(await readFile(file, "utf8"));
    const messages = report.results.flatMap(({ messages }) => messages);
    const lines = messages.slice(0, 10).map((m) => `${m.line}: ${m.ruleId}: ${m.message}`);
    assert.deepEqual(lines, [], file);
  }
});
