// @ts-check
// The last points of every line on the page, on one time axis, in arrays that do not grow beyond their limit.

/** Ten minutes at a scrape every two seconds. */
const POINTS_MAX = 300;
/** Marks that are drawn at once; older ones have left the time axis by then. */
const MARKS_MAX = 200;

export class History {
  constructor() {
    /** @type {number[]} seconds since 1970 */
    this.times = [];
    /** @type {Map<string, (number | null)[]>} */
    this.lines = new Map();
    /** @type {{time: number, name: string}[]} */
    this.marks = [];
  }

  /**
   * Adds a point to each line; a line that has none gets a gap.
   * @param {number} time
   * @param {Map<string, number | null>} values
   */
  add(time, values) {
    this.times.push(time);
    for (const name of values.keys()) {
      if (!this.lines.has(name)) this.lines.set(name, new Array(this.times.length - 1).fill(null));
    }
    for (const [name, line] of this.lines) line.push(values.get(name) ?? null);
    if (this.times.length > POINTS_MAX) this.drop();
  }

  /**
   * Marks a moment on every chart.
   * @param {number} time
   * @param {string} name
   */
  mark(time, name) {
    this.marks.push({ time, name });
    if (this.marks.length > MARKS_MAX) this.marks.shift();
  }

  drop() {
    this.times.shift();
    for (const [name, line] of this.lines) {
      line.shift();
      if (line.every((each) => each === null)) this.lines.delete(name);
    }
    this.marks = this.marks.filter((mark) => mark.time >= this.times[0]);
  }

  /** @param {string} name */
  line(name) {
    return this.lines.get(name) ?? new Array(this.times.length).fill(null);
  }
}
