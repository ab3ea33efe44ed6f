// @ts-check
// Numbers as people read them.

/** @type {Record<string, (value: number) => string>} */
const UNITS = {
  count: (value) => plain(value),
  rate: (value) => `${plain(value)}/s`,
  share: (value) => `${(value * 100).toFixed(value < 0.1 ? 2 : 1)} %`,
  seconds,
};

/**
 * Returns a value in a unit; a dash if there is none.
 * @param {number | null | undefined} value
 * @param {string} unit
 */
export function show(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return (UNITS[unit] ?? plain)(value);
}

/** @param {number} value */
function plain(value) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  if (Math.abs(value) >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (Math.abs(value) >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  return value.toLocaleString("en", { maximumFractionDigits: Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0 });
}

/** @param {number} value */
function seconds(value) {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return "∞";
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 2 : 0)} ms`;
  if (value < 120) return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  return value < 7200 ? `${(value / 60).toFixed(0)} min` : `${(value / 3600).toFixed(1)} h`;
}
