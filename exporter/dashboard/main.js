// @ts-check
// Scrapes this server's own /metrics every few seconds, and shows what happened between the last two scrapes.

import { Chart, HeatStrip } from "./charts.js";
import { parse } from "./exposition.js";
import { show } from "./format.js";
import { History } from "./history.js";
import { LATENCIES, LINES, MARKS, QUANTILES, TILES, TTFT, ofModel, quantileOf, quantilesPromql } from "./panels.js";
import { Workers, engineRows, fill } from "./tables.js";
import { byId, chartElement, showMarks, showSummary, showTile, tileElement } from "./view.js";
import { Window } from "./window.js";

/** A scrape that is not here by then has failed. */
const TIMEOUT_MS = 5000;

const history = new History();
const workers = new Workers();
const heat = new HeatStrip(/** @type {HTMLCanvasElement} */ (byId("heat")));
const models = /** @type {HTMLSelectElement} */ (byId("model"));
const bounds = /** @type {HTMLSelectElement} */ (byId("bound"));
const period = /** @type {HTMLSelectElement} */ (byId("period"));
const pause = byId("pause");
const choice = { model: "", bound: 0.47 };
/** @type {{page: import("./exposition.js").Page, at: number} | null} */
let baseline = null;
let failures = 0;

const lines = LINES.map((panel) => place(panel.id, panel.title, () => panel.promql(choice), (value) => show(value, panel.unit), false));
const latencies = LATENCIES.map((panel) =>
  place(panel.id, panel.title, () => quantilesPromql(panel, choice), (value) => show(value, "seconds"), true),
);
byId("tiles").append(...TILES.map((tile) => tileElement(tile, () => tile.promql(choice))));

/**
 * Puts a chart on the page.
 * @param {string} id
 * @param {string} title
 * @param {() => string} promql
 * @param {(value: number) => string} format
 * @param {boolean} bands
 */
function place(id, title, promql, format, bands) {
  const { panel, place: box, summary } = chartElement(id, title, promql);
  byId("charts").append(panel);
  return { panel, summary, chart: new Chart(box, history, format, bands) };
}

async function scrape() {
  const asked = performance.now();
  let page;
  try {
    const answer = await fetch(document.documentElement.dataset.metrics ?? "/metrics", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    page = parse(await answer.text());
  } catch (error) {
    failures += 1;
    if (failures === 1) history.mark(Date.now() / 1000, "no answer");
    return say(`No answer (${failures} in a row): ${error instanceof Error ? error.message : error}`, "bad");
  }
  failures = 0;
  // Outside of the attempt: an error in what follows is this page's, not the server's, and is shown as such by the browser.
  take(page, asked);
}

/**
 * Shows what happened since the last scrape, and keeps this one.
 * @param {import("./exposition.js").Page} page
 * @param {number} at
 */
function take(page, at) {
  const before = baseline;
  baseline = { page, at };
  choice.model = fillSelect(models, ["", ...new Set((page.samples.get("dynamo_frontend_inflight_requests") ?? []).map((each) => each.labels.model))], (value) => value || "all models");
  const offered = [...new Set((page.samples.get(`${TTFT}_bucket`) ?? []).map((each) => each.labels.le))].filter((le) => le !== "+Inf");
  choice.bound = Number(fillSelect(bounds, offered, (le) => `${le} s`, String(choice.bound)) || choice.bound);
  if (before === null) return say("First scrape taken; rates come with the second.", "");
  render(new Window(before.page, page, (at - before.at) / 1000));
  document.documentElement.dataset.scrapes = String(1 + Number(document.documentElement.dataset.scrapes ?? 1));
}

/** @param {Window} window */
function render(window) {
  const now = Date.now() / 1000;
  if (window.restarted) history.mark(now, "restart");
  for (const [name, counter] of MARKS) {
    if ((window.increase(counter, ofModel(choice)) ?? 0) > 0) history.mark(now, name);
  }
  for (const tile of TILES) showTile(tile, window.restarted && tile.unit === "rate" ? null : tile.value(window, choice));
  drawCharts(window, now);
  const firstTokens = window.buckets(TTFT, ofModel(choice));
  if (firstTokens) byId("heat-panel").hidden = false;
  heat.add(firstTokens);
  showMarks(history.marks);
  const listed = workers.update(window);
  showTable("workers", listed);
  showTable("engines", engineRows(window));
  report(window, listed);
}

/**
 * Adds a point to each chart and draws it.
 * @param {Window} window
 * @param {number} now
 */
function drawCharts(window, now) {
  /** @type {Map<string, number | null>} */
  const points = new Map();
  const drawn = LINES.map((panel) => {
    const found = panel.lines(window, choice);
    found.forEach(([name, value]) => points.set(`${panel.id} ${name}`, value));
    return found;
  });
  const banded = LATENCIES.map((panel) => QUANTILES.map((q) => quantileOf(panel, q, window, choice)));
  LATENCIES.forEach((panel, at) =>
    QUANTILES.forEach((q, which) => {
      const found = banded[at][which];
      points.set(`${panel.id} ${q} high`, found && Number.isFinite(found.high) ? found.high : (found?.low ?? null));
      points.set(`${panel.id} ${q} low`, found?.low ?? null);
    }),
  );
  history.add(now, points);
  LINES.forEach((panel, at) => {
    const { panel: box, chart, summary } = lines[at];
    if (drawn[at].length === 0) return;
    box.hidden = false;
    chart.draw(drawn[at].map(([name]) => `${panel.id} ${name}`), drawn[at].map(([name]) => name));
    showSummary(summary, drawn[at].map(([name, value]) => `${name} ${show(value, panel.unit)}`));
  });
  LATENCIES.forEach((panel, at) => {
    const { panel: box, chart, summary } = latencies[at];
    if (banded[at].every((each) => each === null) && box.hidden) return;
    box.hidden = false;
    const names = QUANTILES.flatMap((q) => [`${panel.id} ${q} high`, `${panel.id} ${q} low`]);
    chart.draw(names, QUANTILES.flatMap((q) => [`p${q * 100} at most`, `p${q * 100} at least`]));
    showSummary(summary, QUANTILES.map((q, which) => {
      const found = banded[at][which];
      return found ? `p${q * 100} ${show(found.low, "seconds")} to ${show(found.high, "seconds")}` : `p${q * 100} –`;
    }));
    QUANTILES.forEach((q, which) => (summary.dataset[`p${q * 100}`] = String(banded[at][which]?.value ?? "")));
  });
}

/**
 * @param {string} id
 * @param {import("./tables.js").Row[]} rows
 */
function showTable(id, rows) {
  const table = /** @type {HTMLTableElement} */ (byId(id));
  /** @type {HTMLElement} */ (table.parentElement).hidden = rows.length === 0;
  fill(table.tBodies[0], rows);
}

/**
 * Says in one sentence how things are.
 * @param {Window} window
 * @param {import("./tables.js").Row[]} listed
 */
function report(window, listed) {
  const unready = window.samples("dynamo_frontend_model_ready").filter((each) => each.value === 0).map((each) => each.labels.model);
  const silent = window.samples("dynamo_engine_metrics_up").filter((each) => each.value === 0).map((each) => each.labels.source);
  const gone = listed.filter((row) => row.gone).length;
  const troubles = [
    window.restarted ? "The process started again." : "",
    unready.length > 0 ? `No worker serves ${unready.join(", ")}.` : "",
    silent.length > 0 ? `No metrics of the engine ${silent.join(", ")}.` : "",
    gone === 1 ? "1 worker has left." : gone > 1 ? `${gone} workers have left.` : "",
  ].filter((text) => text !== "");
  say(troubles.join(" ") || `Live, a scrape every ${period.value} s.`, troubles.length > 0 ? "bad" : "good");
}

/**
 * @param {string} text
 * @param {string} state
 */
function say(text, state) {
  const status = byId("status");
  if (status.textContent !== text) status.textContent = text;
  status.className = state;
}

/**
 * Offers values, keeps the chosen one if it is among them, and returns what is chosen now.
 * @param {HTMLSelectElement} select
 * @param {string[]} values
 * @param {(value: string) => string} title
 * @param {string} [chosen]
 */
function fillSelect(select, values, title, chosen = select.value) {
  /** @type {HTMLElement} */ (select.parentElement).hidden = values.length === 0;
  if (values.join("\n") !== [...select.options].map((each) => each.value).join("\n")) {
    select.replaceChildren(...values.map((value) => new Option(title(value), value, false, value === chosen)));
  }
  return select.value;
}

models.addEventListener("change", () => (choice.model = models.value));
bounds.addEventListener("change", () => (choice.bound = Number(bounds.value)));
pause.addEventListener("click", () => {
  const paused = pause.getAttribute("aria-pressed") !== "true";
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Go on" : "Pause";
  if (paused) baseline = null;
});
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  [...lines, ...latencies].forEach(({ chart }) => chart.clear());
});

async function run() {
  for (;;) {
    if (pause.getAttribute("aria-pressed") !== "true") await scrape();
    await new Promise((resolve) => setTimeout(resolve, Number(period.value) * 1000));
  }
}

run();
