// The page in a real browser, against the program, PromQL and faults: `bash ci/dashboard.sh`.

import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import test from "node:test";
import { LATENCIES, QUANTILES, TILES, quantilePromql } from "../panels.js";
import { PROGRAM, ROOT, clients, freePort, open, prometheusOf, sleep, start, until } from "./browser.mjs";

/** Where screenshots go: into the documentation when they are made for it. */
const PICTURES = process.env.PICTURES ?? path.join(ROOT, "target/dashboard");
const CHOICE = { model: "", bound: 0.47 };

/** Keeps what the page was given at each scrape, and when. */
function recorded(page, scrapes) {
  return page.route("**/metrics", async (route) => {
    // A scrape that is on its way when the test ends has no answer.
    const answer = await route.fetch().catch(() => null);
    if (answer === null) return route.abort().catch(() => {});
    const text = await answer.text();
    scrapes.push({ text, seconds: Date.now() / 1000 });
    await route.fulfill({ response: answer, body: text });
  });
}

async function replay(context) {
  const [port, system] = [await freePort(), await freePort()];
  const trace = path.join(ROOT, "target/dashboard/trace.csv");
  fs.mkdirSync(path.dirname(trace), { recursive: true });
  const rows = Array.from({ length: 4000 }, (_, at) => `2024-05-10 00:${String(Math.floor(at / 600) % 60).padStart(2, "0")}:${((at % 600) / 10).toFixed(4).padStart(7, "0")},${200 + ((at * 37) % 900)},${20 + ((at * 13) % 60)}`);
  fs.writeFileSync(trace, `TIMESTAMP,ContextTokens,GeneratedTokens\n${rows.join("\n")}\n`);
  start(context, PROGRAM, ["replay", trace, "--speed", "4", "--serve", "--http-port", String(port)], { DYN_SYSTEM_PORT: String(system) });
  await until("the replay's page is there", async () => (await fetch(`http://127.0.0.1:${port}/dashboard`)).ok);
  return [port, system];
}

test("each tile equals PromQL over the same two scrapes", async (context) => {
  const [port, system] = await replay(context);
  for (const each of [port, system]) {
    const scrapes = [];
    const page = await open(context, `http://127.0.0.1:${each}/dashboard`, { before: (page) => recorded(page, scrapes) });
    await page.selectOption("#period", "5");
    await until("three scrapes", async () => Number(await page.locator("html").getAttribute("data-scrapes")) >= 4, 60);
    const values = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll("output")].map((each) => [each.id, each.dataset.value ?? ""])));
    const bands = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll(".summary")].map((each) => [each.id, { ...each.dataset }])));
    const ask = await prometheusOf(context, scrapes.slice(-2));
    let compared = 0;
    const compare = async (title, promql, shown) => {
      const expected = await ask(promql.replaceAll("rate(", "irate("));
      if (shown === "" || shown === undefined || expected === null || Number.isNaN(expected)) return;
      compared += 1;
      const off = Math.abs(Number(shown) - expected) / Math.max(Math.abs(expected), 1e-9);
      assert.ok(off <= 0.01 || Number(shown) === expected, `${title}: ${shown} on the page, ${expected} by PromQL (${promql})`);
    };
    for (const tile of TILES) await compare(tile.title, tile.promql(CHOICE), values[`tile-${tile.id}`]);
    for (const panel of LATENCIES) for (const q of QUANTILES) await compare(`${panel.title} p${q * 100}`, quantilePromql(panel, q, CHOICE), bands[`summary-${panel.id}`]?.[`p${q * 100}`]);
    assert.ok(compared >= (each === port ? 18 : 5), `${compared} values were compared`);
    fs.mkdirSync(PICTURES, { recursive: true });
    await page.selectOption("#period", "1");
    await sleep(20);
    await page.screenshot({ path: path.join(PICTURES, each === port ? "dashboard-frontend.png" : "dashboard-worker.png"), fullPage: true });
    assert.deepEqual(page.problems, []);
  }
});

test("a worker that is killed, an engine that stops and a restart are seen", async (context) => {
  const engine = http.createServer((_, answer) => answer.setHeader("content-type", "text/plain; version=0.0.4").end("# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 3\n"));
  engine.listen(0, "127.0.0.1");
  await until("the engine's page", () => engine.listening);
  context.after(() => engine.close());
  const [port, router, system] = [await freePort(), await freePort(), await freePort()];
  const frontendArgs = ["frontend", "--http-port", String(port)];
  let frontend = start(context, PROGRAM, frontendArgs, { DYN_SYSTEM_PORT: String(router) });
  await until("the frontend", async () => (await fetch(`http://127.0.0.1:${port}/live`)).ok);
  const workerArgs = ["worker", "--frontend", `http://127.0.0.1:${port}`, "--engine-metrics", `vllm=http://127.0.0.1:${engine.address().port}/metrics`];
  const worker = start(context, PROGRAM, workerArgs, { DYN_SYSTEM_PORT: String(system) });
  await until("the worker", async () => (await fetch(`http://127.0.0.1:${system}/live`)).ok);
  const stop = clients(`http://127.0.0.1:${port}`, 2);
  const pages = await Promise.all([port, router, system].map((each) => open(context, `http://127.0.0.1:${each}/dashboard`)));
  const [models, fleet, engines] = pages;
  for (const page of pages) await page.selectOption("#period", "1");
  const status = (page, words) => until(words, async () => (await page.textContent("#status")).includes(words), 40);
  await until("the worker is in the table", async () => (await fleet.locator("#workers tbody tr:not(.gone)").count()) === 1);
  engine.closeAllConnections();
  engine.close();
  await status(engines, "No metrics of the engine vllm");
  worker.kill("SIGKILL");
  await status(models, "No worker serves");
  await status(fleet, "1 worker has left");
  assert.equal(await fleet.locator("#workers tbody tr.gone").count(), 1, "a worker that left stays, greyed");
  await stop();
  frontend.kill("SIGKILL");
  await status(models, "No answer");
  frontend = start(context, PROGRAM, frontendArgs, { DYN_SYSTEM_PORT: String(router) });
  await until("the page goes on", async () => !(await models.textContent("#status")).includes("No answer"), 40);
  assert.match(await models.textContent("#marks"), /no answer/);
  await until("the restart is marked", async () => /restart/.test(await models.textContent("#marks")));
});

test("a thousand workers are usable, and the heap stays flat over ten minutes", async (context) => {
  const [port] = await replay(context);
  let scrape = 0;
  const many = () => {
    scrape += 1;
    const lines = [];
    for (let worker = 0; worker < 1000; worker += 1) {
      // One in a hundred leaves and another comes, all the time.
      const id = worker < 990 ? worker : worker + scrape * 10;
      for (const [name, value] of [["active_blocks", (worker * 7 + scrape) % 100], ["total_blocks", 100], ["gpu_cache_usage_percent", 0.5], ["gpu_prefix_cache_hit_rate", 0.25]]) {
        lines.push(`dynamo_component_router_worker_${name}{dynamo_namespace="d",dynamo_component="router",worker_id="${id}"} ${value}`);
      }
    }
    return lines.join("\n") + `\n# TYPE dynamo_frontend_output_tokens_total counter\ndynamo_frontend_output_tokens_total{model="m"} ${scrape * 100}\n`;
  };
  const page = await open(context, `http://127.0.0.1:${port}/dashboard`, {
    before: async (page) => {
      await page.route("**/metrics", (route) => route.fulfill({ body: many(), contentType: "text/plain" }));
      await page.clock.install();
    },
  });
  const heapAfter = async (scrapes) => {
    while (scrape < scrapes) {
      await page.clock.runFor(2000);
      await page.evaluate(() => 0);
    }
    await tools.send("HeapProfiler.collectGarbage");
    return (await tools.send("Runtime.getHeapUsage")).usedSize;
  };
  const tools = await page.context().newCDPSession(page);
  const half = await heapAfter(300);
  const all = await heapAfter(600);
  assert.ok(all <= half * 1.1, `${half} bytes after 300 scrapes, ${all} after 600`);
  assert.ok((await page.locator("#workers tbody tr").count()) >= 1000);
  assert.deepEqual(page.problems, []);
});

test("the page is reachable by keyboard, names its controls and loads nothing from elsewhere", async (context) => {
  const [port] = await replay(context);
  const asked = [];
  const page = await open(context, `http://127.0.0.1:${port}/dashboard`, { before: (page) => page.on("request", (request) => asked.push(request.url())) });
  await until("a second scrape", async () => Number(await page.locator("html").getAttribute("data-scrapes")) >= 2);
  assert.deepEqual(asked.filter((url) => !url.startsWith(`http://127.0.0.1:${port}/`) && !url.startsWith("data:")), []);
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, select")].filter((each) => !(each.getAttribute("aria-label") || each.textContent?.trim() || each.closest("label"))).length);
  assert.equal(nameless, 0, "every control has a name");
  await page.locator("#pause").focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
  await page.locator("#theme").press("Enter");
  assert.match(await page.getAttribute("html", "data-theme"), /light|dark/);
  const copied = page.locator("#tile-requests + .copy");
  await copied.press("Enter");
  assert.equal(await copied.getAttribute("data-copied"), "sum(rate(dynamo_frontend_requests_total[5m]))");
});
