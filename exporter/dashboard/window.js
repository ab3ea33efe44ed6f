// @ts-check
// Two successive scrapes, and what happened between them. A counter that fell means that the process started again: then
// nothing is said about the time between, and the later scrape is the new baseline.

/** @typedef {import("./exposition.js").Page} Page */
/** @typedef {import("./exposition.js").Sample} Sample */
/** @typedef {Record<string, string | ((value: string) => boolean)>} Filter */
/** @typedef {{bounds: number[], counts: number[]}} Buckets increases by bucket, not cumulative */

const UPTIME = "dynamo_component_uptime_seconds";
const COUNTED = /_(total|count|sum|bucket)$/;

export class Window {
  /**
   * @param {Page} earlier
   * @param {Page} later
   * @param {number} seconds between the two
   */
  constructor(earlier, later, seconds) {
    this.earlier = earlier;
    this.later = later;
    this.seconds = seconds;
    /** Whether the process started again between the two scrapes. */
    this.restarted = fell(earlier, later);
  }

  /**
   * Returns how much the counters of a name grew, in all; null if there are none, or after a restart.
   * @param {string} name
   * @param {Filter} [filter]
   */
  increase(name, filter = {}) {
    const later = matching(this.later, name, filter);
    if (later.length === 0 || this.restarted) return null;
    const before = index(matching(this.earlier, name, filter));
    // A series that was not there has grown by nothing, as for PromQL.
    return sum(later.map((each) => each.value - (before.get(key(each.labels)) ?? each.value)));
  }

  /**
   * Returns the increase each second.
   * @param {string} name
   * @param {Filter} [filter]
   */
  rate(name, filter = {}) {
    const increase = this.increase(name, filter);
    return increase === null ? null : increase / this.seconds;
  }

  /**
   * Returns the rate for each value of a label, sorted by value; null after a restart.
   * @param {string} name
   * @param {string} label
   * @param {Filter} [filter]
   * @returns {[string, number | null][]}
   */
  rates(name, label, filter = {}) {
    const values = new Set(matching(this.later, name, filter).map((each) => each.labels[label] ?? ""));
    return [...values].sort().map((value) => [value, this.rate(name, { ...filter, [label]: value })]);
  }

  /**
   * Returns the sum of gauges as the later scrape has them; null if there are none.
   * @param {string} name
   * @param {Filter} [filter]
   */
  gauge(name, filter = {}) {
    const found = matching(this.later, name, filter);
    return found.length === 0 ? null : sum(found.map((each) => each.value));
  }

  /**
   * Returns the samples of the later scrape.
   * @param {string} name
   * @param {Filter} [filter]
   */
  samples(name, filter = {}) {
    return matching(this.later, name, filter);
  }

  /**
   * Returns how much each bucket of the classic histograms of a name grew, all series together.
   * @param {string} name
   * @param {Filter} [filter]
   * @returns {Buckets | null}
   */
  buckets(name, filter = {}) {
    const bounds = [...new Set(matching(this.later, `${name}_bucket`, filter).map((each) => each.labels.le))];
    const sorted = bounds.map((text) => ({ text, bound: text === "+Inf" ? Infinity : Number(text) })).sort((a, b) => a.bound - b.bound);
    if (sorted.length === 0 || this.restarted) return null;
    const cumulative = sorted.map(({ text }) => this.increase(`${name}_bucket`, { ...filter, le: text }) ?? 0);
    return { bounds: sorted.map((each) => each.bound), counts: cumulative.map((each, at) => each - (at === 0 ? 0 : cumulative[at - 1])) };
  }
}

/**
 * Returns whether a counter or the uptime fell.
 * @param {Page} earlier
 * @param {Page} later
 */
function fell(earlier, later) {
  for (const [name, samples] of later.samples) {
    if (name !== UPTIME && !(COUNTED.test(name) && isCounter(later, name))) continue;
    const before = index(earlier.samples.get(name) ?? []);
    if (samples.some((each) => each.value < (before.get(key(each.labels)) ?? -Infinity))) return true;
  }
  return false;
}

/**
 * Returns whether a sample belongs to a counter or to a histogram of ours; an engine may start again by itself.
 * @param {Page} page
 * @param {string} name
 */
function isCounter(page, name) {
  if (!name.startsWith("dynamo_")) return false;
  const family = page.types.get(name) ?? page.types.get(name.replace(/_(count|sum|bucket)$/, ""));
  return family === "counter" || family === "histogram";
}

/**
 * @param {Page} page
 * @param {string} name
 * @param {Filter} filter
 */
function matching(page, name, filter) {
  const wanted = Object.entries(filter);
  const found = page.samples.get(name) ?? [];
  if (wanted.length === 0) return found;
  return found.filter(({ labels }) =>
    wanted.every(([label, value]) => (typeof value === "string" ? (labels[label] ?? "") === value : value(labels[label] ?? ""))),
  );
}

/** @param {Sample[]} samples */
function index(samples) {
  return new Map(samples.map((each) => [key(each.labels), each.value]));
}

/** @param {Record<string, string>} labels */
function key(labels) {
  return JSON.stringify(Object.entries(labels).sort());
}

/** @param {number[]} values */
function sum(values) {
  return values.reduce((total, each) => total + each, 0);
}
