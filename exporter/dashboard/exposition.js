// @ts-check
// Reads the Prometheus text format 0.0.4 into samples by name, as a scraper would. Lines that it cannot read are left out.

/** @typedef {{labels: Record<string, string>, value: number}} Sample */
/** @typedef {{samples: Map<string, Sample[]>, types: Map<string, string>}} Page */

const LABEL = /\s*([^\s=,{}"]+)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?/gy;

/**
 * Returns the samples and types of an exposition.
 * @param {string} text
 * @returns {Page}
 */
export function parse(text) {
  /** @type {Page} */
  const page = { samples: new Map(), types: new Map() };
  for (const line of text.split("\n")) {
    if (line.startsWith("# TYPE ")) {
      const [name, type] = line.slice(7).split(" ");
      page.types.set(name, type);
    } else if (line !== "" && !line.startsWith("#")) {
      readSample(line, page.samples);
    }
  }
  return page;
}

/**
 * Adds the sample of a line.
 * @param {string} line
 * @param {Map<string, Sample[]>} samples
 */
function readSample(line, samples) {
  const brace = line.indexOf("{");
  const blank = line.indexOf(" ");
  const labelled = brace !== -1 && (blank === -1 || brace < blank);
  const name = line.slice(0, labelled ? brace : blank);
  /** @type {Record<string, string>} */
  const labels = {};
  let rest = blank;
  if (labelled) {
    rest = readLabels(line, brace + 1, labels);
  }
  if (name === "" || rest === -1) return;
  const value = readNumber(line.slice(rest).trim().split(/\s+/)[0]);
  if (value === undefined) return;
  const known = samples.get(name);
  if (known) known.push({ labels, value });
  else samples.set(name, [{ labels, value }]);
}

/**
 * Reads labels from `start`, and returns where the value begins; -1 if they do not end.
 * @param {string} line
 * @param {number} start
 * @param {Record<string, string>} labels
 */
function readLabels(line, start, labels) {
  LABEL.lastIndex = start;
  let end = start;
  for (let found = LABEL.exec(line); found; found = LABEL.exec(line)) {
    labels[found[1]] = found[2].replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
    end = LABEL.lastIndex;
  }
  while (line[end] === " ") end += 1;
  return line[end] === "}" ? end + 1 : -1;
}

/**
 * Returns a number as Prometheus spells it; undefined if it is none.
 * @param {string} text
 */
export function readNumber(text) {
  const special = { "+Inf": Infinity, Inf: Infinity, "-Inf": -Infinity, NaN: NaN }[text];
  if (special !== undefined) return special;
  const value = Number(text);
  return text === "" || Number.isNaN(value) ? undefined : value;
}
