// @ts-check
// The tables of workers and engines. Rows stay where they are and only their cells change; a worker that left stays, greyed.

import { show } from "./format.js";
import { ROUTED } from "./panels.js";

/** @typedef {import("./window.js").Window} Window */
/** @typedef {{name: string, gone: boolean, cells: string[]}} Row */

/** Workers that left and are still listed; the oldest make room. */
const GONE_MAX = 1000;

/** Engines' own families that say the same: running, waiting, and the share of the KV cache. */
const ENGINE_FAMILIES = [
  ["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"],
  ["sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage"],
  ["trtllm_num_requests_running", "trtllm_num_requests_waiting", "trtllm_kv_cache_utilization"],
];

export class Workers {
  constructor() {
    /** @type {Map<string, Row>} */
    this.rows = new Map();
  }

  /**
   * Returns a row for each worker that the router knows or knew.
   * @param {Window} window
   */
  update(window) {
    const active = window.samples(`${ROUTED}active_blocks`);
    const mean = active.reduce((sum, each) => sum + each.value, 0) / (active.length || 1);
    const [total, share, hits] = ["total_blocks", "gpu_cache_usage_percent", "gpu_prefix_cache_hit_rate"].map(
      (name) => new Map(window.samples(ROUTED + name).map((each) => [each.labels.worker_id, each.value])),
    );
    for (const row of this.rows.values()) row.gone = true;
    for (const { labels, value } of active) {
      const id = labels.worker_id;
      const cells = [show(value, "count"), show(total.get(id), "count"), show(share.get(id), "share"), show(hits.get(id), "share"), show(mean > 0 ? value / mean : null, "count")];
      this.rows.set(id, { name: id, gone: false, cells });
    }
    const gone = [...this.rows.values()].filter((row) => row.gone);
    gone.slice(0, Math.max(0, gone.length - GONE_MAX)).forEach((row) => this.rows.delete(row.name));
    return [...this.rows.values()];
  }
}

/**
 * Returns a row for each engine whose page a worker passes on.
 * @param {Window} window
 * @returns {Row[]}
 */
export function engineRows(window) {
  return window.samples("dynamo_engine_metrics_up").map(({ labels, value }) => {
    const source = { source: labels.source };
    // Of several engines of one kind each sample says whose it is; the only one of its kind has no such label.
    const own = { engine_source: (/** @type {string} */ name) => name === labels.source || name === "" };
    const present = ENGINE_FAMILIES.filter(([running]) => window.samples(running, own).length > 0);
    // With engines of different kinds, the name of the source says which is its own.
    const kind = present.find(([running]) => labels.source.startsWith(running.split(/[:_]/)[0])) ?? (present.length === 1 ? present[0] : []);
    const counts = kind.map((name, at) => show(name ? window.gauge(name, own) : null, at === 2 ? "share" : "count"));
    while (counts.length < 3) counts.push("–");
    return { name: labels.source, gone: value === 0, cells: [...counts, show(window.gauge("dynamo_engine_metrics_age_seconds", source), "seconds")] };
  });
}

/**
 * Writes rows into the body of a table, and touches only what changed.
 * @param {HTMLTableSectionElement} body
 * @param {Row[]} rows
 */
export function fill(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, at) => {
    const line = body.rows[at] ?? body.insertRow();
    if (line.cells.length === 0) {
      line.append(Object.assign(document.createElement("th"), { scope: "row" }));
      row.cells.forEach(() => line.insertCell());
    }
    line.className = row.gone ? "gone" : "";
    [row.gone ? `${row.name} (gone)` : row.name, ...row.cells].forEach((text, column) => {
      if (line.cells[column].textContent !== text) line.cells[column].textContent = text;
    });
  });
}
