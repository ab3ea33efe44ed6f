// Tests of the modules without a browser: `node --test exporter/dashboard/tests/units.test.mjs`.

import assert from "node:assert/strict";
import test from "node:test";
import { parse, readNumber } from "../exposition.js";
import { show } from "../format.js";
import { History } from "../history.js";
import { quantile, shareWithin } from "../quantile.js";
import { Window } from "../window.js";

const between = (earlier, later, seconds = 2) => new Window(parse(earlier), parse(later), seconds);

test("reads labels with escapes, blanks and trailing commas", () => {
  const page = parse('a{x="q\\"\\\\\\n}", y = "2",} 3 17\nb 4\nc{broken 5\n');
  assert.deepEqual(page.samples.get("a"), [{ labels: { x: 'q"\\\n}', y: "2" }, value: 3 }]);
  assert.deepEqual(page.samples.get("b"), [{ labels: {}, value: 4 }]);
  assert.equal(page.samples.has("c"), false);
});

test("reads numbers as Prometheus spells them", () => {
  assert.equal(readNumber("+Inf"), Infinity);
  assert.equal(readNumber("-Inf"), -Infinity);
  assert.ok(Number.isNaN(readNumber("NaN")));
  assert.equal(readNumber("1e-3"), 0.001);
  assert.equal(readNumber(""), undefined);
  assert.equal(readNumber("x"), undefined);
});

test("a series that was not there has grown by nothing", () => {
  const window = between('x_total{a="1"} 5\n', 'x_total{a="1"} 9\nx_total{a="2"} 100\n');
  assert.equal(window.rate("x_total"), 2);
  assert.deepEqual(window.rates("x_total", "a"), [["1", 2], ["2", 0]]);
});

test("a counter of ours that fell is a restart, and an engine's is not", () => {
  assert.equal(between("# TYPE dynamo_x_total counter\ndynamo_x_total 5\n", "# TYPE dynamo_x_total counter\ndynamo_x_total 4\n").restarted, true);
  assert.equal(between("# TYPE vllm:x_total counter\nvllm:x_total 5\n", "# TYPE vllm:x_total counter\nvllm:x_total 4\n").restarted, false);
  assert.equal(between("dynamo_component_uptime_seconds 50\n", "dynamo_component_uptime_seconds 1\n").restarted, true);
});

test("nothing is said of the time in which the process started again", () => {
  const window = between("dynamo_component_uptime_seconds 50\nx_total 9\n", "dynamo_component_uptime_seconds 1\nx_total 10\n");
  assert.equal(window.rate("x_total"), null);
});

test("a quantile is a bucket, and in it the value that PromQL guesses", () => {
  const zero = 'h_bucket{le="1"} 0\nh_bucket{le="2"} 0\nh_bucket{le="+Inf"} 0\n';
  const grown = 'h_bucket{le="1"} 2\nh_bucket{le="2"} 10\nh_bucket{le="+Inf"} 10\n';
  const buckets = between(zero, grown).buckets("h");
  assert.deepEqual(quantile(buckets, 0.5), { low: 1, high: 2, value: 1 + 3 / 8 });
  assert.equal(shareWithin(buckets, 1), 0.2);
  assert.equal(quantile(between(zero, zero).buckets("h"), 0.5), null);
});

test("beyond the last bound a quantile has no upper end", () => {
  const buckets = between('h_bucket{le="1"} 0\nh_bucket{le="+Inf"} 0\n', 'h_bucket{le="1"} 0\nh_bucket{le="+Inf"} 4\n').buckets("h");
  assert.deepEqual(quantile(buckets, 0.5), { low: 1, high: Infinity, value: 1 });
});

test("the history does not grow beyond its limit, and forgets lines that ended", () => {
  const history = new History();
  history.add(0, new Map([["gone", 1]]));
  for (let time = 1; time < 1000; time += 1) {
    history.add(time, new Map([["there", time]]));
    history.mark(time, "mark");
  }
  assert.ok(history.times.length <= 300 && history.marks.length <= 200);
  assert.equal(history.lines.has("gone"), false);
  assert.equal(history.line("there").length, history.times.length);
});

test("numbers are written as people read them", () => {
  assert.equal(show(null, "rate"), "–");
  assert.equal(show(0.0042, "seconds"), "4.20 ms");
  assert.equal(show(0.25, "share"), "25.0 %");
  assert.equal(show(1234567, "count"), "1.2 M");
});
