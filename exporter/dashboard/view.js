// @ts-check
// Makes the page's elements once, and writes values into them.

import { show } from "./format.js";

/** @param {string} id */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Returns an element with a class and content.
 * @param {string} tag
 * @param {string} className
 * @param {...(Node | string)} children
 */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

/**
 * Returns a button that copies a query.
 * @param {string} title of what it queries
 * @param {() => string} promql
 */
export function copyButton(title, promql) {
  const button = element("button", "copy", "PromQL");
  button.setAttribute("aria-label", `Copy ${title} as PromQL`);
  button.addEventListener("click", async () => {
    button.dataset.copied = promql();
    try {
      await navigator.clipboard.writeText(promql());
      button.textContent = "copied";
    } catch {
      // Without a secure context there is no clipboard: the query is shown for the reader to copy.
      window.prompt(title, promql());
    }
    setTimeout(() => (button.textContent = "PromQL"), 1500);
  });
  return button;
}

/**
 * Returns a tile: a title, a value, and its query.
 * @param {import("./panels.js").Tile} tile
 * @param {() => string} promql
 */
export function tileElement(tile, promql) {
  const value = element("output", "value", "–");
  value.id = `tile-${tile.id}`;
  // A screen reader reads a tile when it is asked to, not every two seconds.
  value.setAttribute("aria-live", "off");
  const made = element("section", "tile", element("h3", "", tile.title), value, copyButton(tile.title, promql));
  made.hidden = true;
  return made;
}

/**
 * Writes a tile's value; a tile that never had one stays hidden.
 * @param {import("./panels.js").Tile} tile
 * @param {number | null} value
 */
export function showTile(tile, value) {
  const output = byId(`tile-${tile.id}`);
  output.textContent = show(value, tile.unit);
  output.dataset.value = value === null ? "" : String(value);
  const section = /** @type {HTMLElement} */ (output.parentElement);
  if (value !== null) section.hidden = false;
}

/**
 * Returns a panel with a place for a chart.
 * @param {string} id
 * @param {string} title
 * @param {() => string} promql
 * @returns {{panel: HTMLElement, place: HTMLElement, summary: HTMLElement}}
 */
export function chartElement(id, title, promql) {
  const place = element("div", "chart");
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", title);
  const summary = element("p", "summary");
  summary.id = `summary-${id}`;
  const panel = element("section", "panel", element("h3", "", title), copyButton(title, promql), place, summary);
  panel.hidden = true;
  return { panel, place, summary };
}

/**
 * Writes the present value of each line below its chart, in the line's colour.
 * @param {HTMLElement} summary
 * @param {string[]} texts
 */
export function showSummary(summary, texts) {
  summary.replaceChildren(...texts.map((text, at) => element("span", `line-${at}`, text)));
}

/** Marks that are listed in words. */
const MARKS_LISTED = 8;

/**
 * Lists the last moments that the charts mark.
 * @param {{time: number, name: string}[]} marks
 */
export function showMarks(marks) {
  const items = marks.slice(-MARKS_LISTED).map(({ time, name }) => element("li", "", `${new Date(time * 1000).toLocaleTimeString()} ${name}`));
  byId("marks").replaceChildren(...items);
}
