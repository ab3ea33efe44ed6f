// @ts-check
// Charts over time, drawn by uPlot: lines, and quantiles as bands that are as wide as their bucket.

/** @typedef {import("./history.js").History} History */

const HEIGHT = 180;
const LINES_MAX = 6;

/** @param {string} name */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** One chart in an element. */
export class Chart {
  /**
   * @param {HTMLElement} place
   * @param {History} history
   * @param {(value: number) => string} format
   * @param {boolean} bands whether lines come in pairs, the upper and the lower bound of a band
   */
  constructor(place, history, format, bands) {
    this.place = place;
    this.history = history;
    this.format = format;
    this.bands = bands;
    /** @type {string[]} */
    this.names = [];
    /** @type {any} */
    this.plot = null;
    new ResizeObserver(() => this.plot?.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  }

  /**
   * Draws lines of the history. A chart is made anew only when its lines change.
   * @param {string[]} names keys of the history
   * @param {string[]} titles
   */
  draw(names, titles) {
    const shown = names.slice(0, LINES_MAX);
    if (this.plot === null || shown.join("\n") !== this.names.join("\n")) this.make(shown, titles.slice(0, LINES_MAX));
    this.plot.setData([this.history.times, ...shown.map((name) => this.history.line(name))]);
  }

  /** Forgets the drawing, as when colours change. */
  clear() {
    this.plot?.destroy();
    this.plot = null;
  }

  /**
   * @param {string[]} names
   * @param {string[]} titles
   */
  make(names, titles) {
    this.clear();
    this.names = names;
    const { format } = this;
    const series = titles.map((label, at) => {
      const stroke = colour(`--line-${this.bands ? Math.floor(at / 2) : at}`);
      return { label, stroke, width: this.bands ? 1 : 1.5, spanGaps: false, points: { show: false }, value: (/** @type {any} */ _, /** @type {number | null} */ value) => (value === null ? "–" : format(value)) };
    });
    const bands = this.bands ? titles.flatMap((_, at) => (at % 2 === 0 ? [{ series: [at + 1, at + 2], fill: `${colour(`--line-${at / 2}`)}40` }] : [])) : [];
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule"), width: 1 } };
    const options = {
      width: this.place.clientWidth, height: HEIGHT, legend: { show: false }, series: [{}, ...series], bands,
      axes: [axis, { ...axis, size: 64, values: (/** @type {any} */ _, /** @type {number[]} */ values) => values.map(format) }],
      scales: { y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [0, most > 0 ? most * 1.1 : 1] } },
      cursor: { drag: { x: false, y: false } },
      hooks: { draw: [(/** @type {any} */ plot) => this.drawMarks(plot)] },
    };
    // @ts-ignore uPlot is a script of its own
    this.plot = new window.uPlot(options, [[], ...names.map(() => [])], this.place);
  }

  /** @param {any} plot */
  drawMarks(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour("--mark");
    ctx.setLineDash([4, 4]);
    for (const { time } of this.history.marks) {
      const x = plot.valToPos(time, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
}

/** A strip with a column for each scrape and a row for each bucket; the darker, the more observations. */
export class HeatStrip {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    /** @type {(import("./window.js").Buckets | null)[]} */
    this.columns = [];
  }

  /** @param {import("./window.js").Buckets | null} buckets */
  add(buckets) {
    this.columns.push(buckets);
    if (this.columns.length > 150) this.columns.shift();
    const { canvas } = this;
    canvas.width = canvas.clientWidth;
    canvas.height = canvas.clientHeight;
    const pen = canvas.getContext("2d");
    if (!pen) return;
    const most = Math.max(1, ...this.columns.flatMap((column) => column?.counts ?? []));
    const width = canvas.width / 150;
    pen.fillStyle = colour("--line-0");
    this.columns.forEach((column, x) => {
      const height = canvas.height / (column?.counts.length ?? 1);
      column?.counts.forEach((count, y) => {
        if (count <= 0) return;
        pen.globalAlpha = 0.15 + 0.85 * Math.sqrt(count / most);
        pen.fillRect(x * width, canvas.height - (y + 1) * height, Math.ceil(width), Math.ceil(height));
      });
    });
  }
}
