// Starts headless Chromium, the program, and Prometheus for the tests of the page.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

export const ROOT = path.resolve(import.meta.dirname, "../../..");
export const PROGRAM = process.env.DYNAMO_METRICS ?? path.join(ROOT, "target/release/dynamo-metrics");
export const MODEL = "Qwen/Qwen3-0.6B";

/** Returns a port that nothing listens on. */
export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Waits until `holds()` returns something true, and returns that. */
export async function until(name, holds, seconds = 30) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(0.1)) {
    const found = await Promise.resolve(holds()).catch(() => false);
    if (found) return found;
  }
  throw new Error(`not after ${seconds} s: ${name}`);
}

/** Starts a process that ends with the test. */
export function start(context, program, args, environment = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...environment }, stdio: process.env.VERBOSE ? "inherit" : "ignore" });
  context.after(() => child.kill("SIGKILL"));
  return child;
}

/** Opens a page in a browser of its own; every error on the page fails the test. */
export async function open(context, url, options = {}) {
  // Without these, Chromium looks for its vendor's servers at every start.
  const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: quiet });
  context.after(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1400, height: 1200 }, ...options.page });
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && !/Failed to load resource/.test(message.text()) && page.problems.push(message.text()));
  await options.before?.(page);
  await page.goto(url);
  return page;
}

/** Sends requests until `stop()`. */
export function clients(url, count) {
  let running = true;
  const work = async () => {
    while (running) {
      const body = JSON.stringify({ model: MODEL, prompt: "Hello ".repeat(20), max_tokens: 8, stream: true });
      await fetch(`${url}/v1/completions`, { method: "POST", headers: { "content-type": "application/json" }, body }).then((answer) => answer.text()).catch(() => sleep(0.2));
    }
  };
  const all = Array.from({ length: count }, work);
  return async () => {
    running = false;
    await Promise.all(all);
  };
}

/** Starts a Prometheus that holds two scrapes and nothing else, and returns a function that asks it. */
export async function prometheusOf(context, scrapes) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dashboard-"));
  context.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const lines = scrapes.flatMap(({ text, seconds }) =>
    text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) => `${line} ${seconds.toFixed(3)}`),
  );
  fs.writeFileSync(path.join(folder, "page.txt"), `${lines.join("\n")}\n# EOF\n`);
  fs.writeFileSync(path.join(folder, "prometheus.yml"), "");
  const made = spawn("promtool", ["tsdb", "create-blocks-from", "openmetrics", path.join(folder, "page.txt"), path.join(folder, "data")]);
  const [code] = await once(made, "exit");
  if (code !== 0) throw new Error(`promtool create-blocks-from: exit ${code}`);
  const port = await freePort();
  start(context, "prometheus", [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`]);
  const at = scrapes.at(-1).seconds;
  const ask = async (expression) => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/query?${new URLSearchParams({ query: expression, time: String(at) })}`);
    const { data, error } = await answer.json();
    if (error) throw new Error(`${expression}: ${error}`);
    return data.result.length === 0 ? null : Number(data.result[0].value[1]);
  };
  await until("prometheus is ready", async () => (await ask("vector(1)")) === 1);
  return ask;
}
