// @ts-check
// Quantiles of the increases of a classic histogram. The true value lies anywhere in its bucket, so the bucket is returned
// beside the value that PromQL's histogram_quantile guesses.

/** @typedef {import("./window.js").Buckets} Buckets */

/**
 * Returns the bucket of a quantile and the value that PromQL interpolates in it; null without an observation.
 * @param {Buckets | null} buckets
 * @param {number} q between 0 and 1
 */
export function quantile(buckets, q) {
  if (!buckets) return null;
  const total = buckets.counts.reduce((sum, each) => sum + each, 0);
  if (!(total > 0)) return null;
  const rank = q * total;
  let below = 0;
  let at = 0;
  while (at < buckets.counts.length - 1 && below + buckets.counts[at] < rank) below += buckets.counts[at++];
  const high = buckets.bounds[at];
  const low = at === 0 ? Math.min(0, high) : buckets.bounds[at - 1];
  // Beyond the last finite bound PromQL says that bound.
  if (high === Infinity) return { low, high: Infinity, value: low };
  return { low, high, value: low + ((high - low) * (rank - below)) / buckets.counts[at] };
}

/**
 * Returns the share of observations at or below a bound, which is exact at the bounds of buckets.
 * @param {Buckets | null} buckets
 * @param {number} bound
 */
export function shareWithin(buckets, bound) {
  if (!buckets) return null;
  let within = 0;
  let total = 0;
  buckets.counts.forEach((count, at) => {
    total += count;
    if (buckets.bounds[at] <= bound) within += count;
  });
  return total > 0 ? within / total : null;
}
