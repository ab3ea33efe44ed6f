// @ts-check
// Everything that the page computes, as a list: a title, a unit, a function of two scrapes, and the same as PromQL.

import { quantile, shareWithin } from "./quantile.js";

/** @typedef {import("./window.js").Window} Window */
/** @typedef {import("./window.js").Filter} Filter */
/** @typedef {{model: string, bound: number}} Choice the model that is shown ("" is all of them), and the bound of the objective */
/** @typedef {{id: string, title: string, unit: string, promql: (choice: Choice) => string, value: (window: Window, choice: Choice) => number | null}} Tile */
/** @typedef {{id: string, title: string, unit: string, promql: (choice: Choice) => string, lines: (window: Window, choice: Choice) => [string, number | null][]}} Lines */
/** @typedef {{id: string, title: string, family: string}} Latency */

const F = "dynamo_frontend_";
const KV = "dynamo_component_kvstats_";
export const ROUTED = "dynamo_component_router_worker_";
export const TTFT = `${F}time_to_first_token_seconds`;
const ITL = `${F}inter_token_latency_seconds`;

/** @param {Choice} choice @returns {Filter} */
export const ofModel = ({ model }) => (model === "" ? {} : { model });
/** @param {Choice} choice @param {string} [more] */
const selector = ({ model }, more = "") => {
  const parts = [model === "" ? "" : `model=${JSON.stringify(model)}`, more].filter((part) => part !== "");
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
};
/** The matcher of a bucket: Prometheus 3 stores the bound 1 as 1.0. @param {number} bound */
const bounded = (bound) => (Number.isInteger(bound) ? `le=~"${bound}([.]0)?"` : `le="${bound}"`);
/** @param {string} name @param {Choice} choice @param {string} [more] */
const rate = (name, choice, more) => `sum(rate(${name}${selector(choice, more)}[5m]))`;
/** @param {number | null} over @param {number | null} under */
const ratio = (over, under) => (over === null || !under ? null : over / under);

/** @type {Tile[]} */
export const TILES = [
  counted("requests", "Requests", `${F}requests_total`),
  {
    id: "failed", title: "Failed, not by their client", unit: "share",
    promql: (choice) =>
      `(${rate(`${F}requests_total`, choice, 'status="error"')} - ${rate(`${F}cancelled_requests_total`, choice)}) / ${rate(`${F}requests_total`, choice)}`,
    value: (window, choice) => {
      const failed = window.increase(`${F}requests_total`, { ...ofModel(choice), status: "error" }) ?? 0;
      const left = window.increase(`${F}cancelled_requests_total`, ofModel(choice)) ?? 0;
      return ratio(failed - left, window.increase(`${F}requests_total`, ofModel(choice)));
    },
  },
  {
    id: "refused", title: "Refused", unit: "rate",
    promql: () => `sum(rate(${F}rejected_requests_total[5m]))`,
    value: (window) => window.rate(`${F}rejected_requests_total`),
  },
  counted("output", "Output tokens", `${F}output_tokens_total`),
  counted("input", "Input tokens", `${F}input_sequence_tokens_sum`),
  {
    id: "cached", title: "Cached share of the input", unit: "share",
    promql: (choice) => `${rate(`${F}cached_tokens_sum`, choice)} / ${rate(`${F}input_sequence_tokens_sum`, choice)}`,
    value: (window, choice) =>
      ratio(window.increase(`${F}cached_tokens_sum`, ofModel(choice)), window.increase(`${F}input_sequence_tokens_sum`, ofModel(choice))),
  },
  {
    id: "goodput", title: "First token within the objective", unit: "share",
    promql: (choice) => `${rate(`${TTFT}_bucket`, choice, bounded(choice.bound))} / ${rate(`${TTFT}_count`, choice)}`,
    value: (window, choice) => shareWithin(window.buckets(TTFT, ofModel(choice)), choice.bound),
  },
  {
    id: "speed", title: "Tokens of one user", unit: "rate",
    promql: (choice) => `${rate(`${ITL}_count`, choice)} / ${rate(`${ITL}_sum`, choice)}`,
    value: (window, choice) => ratio(window.increase(`${ITL}_count`, ofModel(choice)), window.increase(`${ITL}_sum`, ofModel(choice))),
  },
  gauged("inflight", "In flight", `${F}inflight_requests`),
  gauged("queued", "Queued", `${F}queued_requests`),
  {
    id: "drain", title: "Time to drain the queue", unit: "seconds",
    promql: (choice) => `sum(${F}queued_requests${selector(choice)}) / ${rate(`${F}requests_total`, choice)}`,
    value: (window, choice) => ratio(window.gauge(`${F}queued_requests`, ofModel(choice)), window.rate(`${F}requests_total`, ofModel(choice))),
  },
  {
    id: "slots", title: "Running, of all slots", unit: "share",
    promql: (choice) =>
      `sum(${F}inflight_requests${selector(choice)} - ${F}queued_requests${selector(choice)}) / (sum(${F}model_max_num_seqs${selector(choice)}) * scalar(count(${ROUTED}total_blocks)))`,
    value: (window, choice) => {
      const running = (window.gauge(`${F}inflight_requests`, ofModel(choice)) ?? NaN) - (window.gauge(`${F}queued_requests`, ofModel(choice)) ?? NaN);
      const slots = (window.gauge(`${F}model_max_num_seqs`, ofModel(choice)) ?? 0) * window.samples(`${ROUTED}total_blocks`).length;
      return slots > 0 && !Number.isNaN(running) ? running / slots : null;
    },
  },
  {
    id: "unready", title: "Models without a worker", unit: "count",
    promql: () => `count(${F}model_ready == 0) or vector(0)`,
    value: (window) => (window.gauge(`${F}model_ready`) === null ? null : window.samples(`${F}model_ready`).filter((each) => each.value === 0).length),
  },
  {
    id: "workers", title: "Workers", unit: "count",
    promql: () => `count(${ROUTED}total_blocks)`,
    value: (window) => window.samples(`${ROUTED}total_blocks`).length || null,
  },
  {
    id: "kv", title: "KV blocks in use", unit: "share",
    promql: () => `sum(${KV}active_blocks) / sum(${KV}total_blocks)`,
    value: (window) => ratio(window.gauge(`${KV}active_blocks`), window.gauge(`${KV}total_blocks`)),
  },
  counted("worked", "Requests of the worker", "dynamo_component_requests_total"),
  {
    id: "errors", title: "Errors of the worker", unit: "rate",
    promql: () => "sum(rate(dynamo_component_errors_total[5m]))",
    value: (window) => window.rate("dynamo_component_errors_total"),
  },
];

/** @type {Lines[]} */
export const LINES = [
  split("status", "Requests by status", `${F}requests_total`, "status"),
  split("reasons", "Refused requests by reason", `${F}rejected_requests_total`, "reason", false),
  {
    id: "tokens", title: "Tokens", unit: "rate",
    promql: (choice) => named([["output", rate(`${F}output_tokens_total`, choice)], ["input", rate(`${F}input_sequence_tokens_sum`, choice)]]),
    lines: (window, choice) => pairs([
      ["output", window.rate(`${F}output_tokens_total`, ofModel(choice))],
      ["input", window.rate(`${F}input_sequence_tokens_sum`, ofModel(choice))],
    ]),
  },
  {
    id: "work", title: "In flight and queued", unit: "count",
    promql: (choice) => named([["in flight", `sum(${F}inflight_requests${selector(choice)})`], ["queued", `sum(${F}queued_requests${selector(choice)})`]]),
    lines: (window, choice) => pairs([
      ["in flight", window.gauge(`${F}inflight_requests`, ofModel(choice))],
      ["queued", window.gauge(`${F}queued_requests`, ofModel(choice))],
    ]),
  },
];

/** Histograms whose quantiles are drawn, each as wide as its bucket. @type {Latency[]} */
export const LATENCIES = [
  { id: "ttft", title: "Time to first token", family: TTFT },
  { id: "itl", title: "Inter-token latency", family: ITL },
  { id: "duration", title: "Duration of requests", family: `${F}request_duration_seconds` },
  { id: "worker-duration", title: "Duration in the worker", family: "dynamo_component_request_duration_seconds" },
];

export const QUANTILES = [0.5, 0.95, 0.99];

/** @param {Latency} latency @param {number} q @param {Choice} choice */
export function quantilePromql({ family }, q, choice) {
  return `histogram_quantile(${q}, sum by (le) (rate(${family}_bucket${selector(choice)}[5m])))`;
}

/** One query with a series for each quantile. @param {Latency} latency @param {Choice} choice */
export function quantilesPromql(latency, choice) {
  return QUANTILES.map((q) => `label_replace(${quantilePromql(latency, q, choice)}, "quantile", "${q}", "", "")`).join(" or ");
}

/** @param {Latency} latency @param {number} q @param {Window} window @param {Choice} choice */
export function quantileOf({ family }, q, window, choice) {
  return quantile(window.buckets(family, ofModel(choice)), q);
}

/** Counters whose increase is marked on every chart. @type {[string, string][]} */
export const MARKS = [
  ["migration", `${F}model_migration_total`],
  ["client left", `${F}cancelled_requests_total`],
];

/** @param {string} id @param {string} title @param {string} name @returns {Tile} */
function counted(id, title, name) {
  return { id, title, unit: "rate", promql: (choice) => rate(name, choice), value: (window, choice) => window.rate(name, ofModel(choice)) };
}

/** @param {string} id @param {string} title @param {string} name @returns {Tile} */
function gauged(id, title, name) {
  return { id, title, unit: "count", promql: (choice) => `sum(${name}${selector(choice)})`, value: (window, choice) => window.gauge(name, ofModel(choice)) };
}

/** @param {string} id @param {string} title @param {string} name @param {string} label @param {boolean} [hasModel] @returns {Lines} */
function split(id, title, name, label, hasModel = true) {
  return {
    id, title, unit: "rate",
    promql: (choice) => `sum by (${label}) (rate(${name}${hasModel ? selector(choice) : ""}[5m]))`,
    lines: (window, choice) => window.rates(name, label, hasModel ? ofModel(choice) : {}),
  };
}

/** One query with a series for each line. @param {[string, string][]} lines */
function named(lines) {
  return lines.map(([name, promql]) => `label_replace(${promql}, "line", "${name}", "", "")`).join(" or ");
}

/** @param {[string, number | null][]} found @returns {[string, number][]} */
function pairs(found) {
  return found.flatMap(([name, value]) => (value === null ? [] : /** @type {[string, number][]} */ ([[name, value]])));
}
