const CHARS_MAX = 100;
const CANDIDATES_MAX = 20_000;

/** The candidate that a misspelt word most likely means: at most a third of it differs, rounded up. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > CHARS_MAX) return undefined;
  let bound = Math.ceil(word.length / 3) + 1;
  let best: string | undefined;
  let seen = 0;
  for (const candidate of candidates) {
    if (++seen > CANDIDATES_MAX) break;
    if (Math.abs(candidate.length - word.length) >= bound) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bound);
    if (distance >= bound) continue;
    bound = distance;
    best = candidate;
    if (distance === 0) break;
  }
  return best;
}

/** " Did you mean …?" for the end of a message, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const found = nearest(word, candidates);
  return found === undefined ? "" : ` Did you mean ${JSON.stringify(found)}?`;
}

/** Levenshtein distance; gives up with `bound` as soon as it is reached. */
function editDistance(a: string, b: string, bound: number): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    let least = row;
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const cost = Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      current.push(cost);
      least = Math.min(least, cost);
    }
    if (least >= bound) return bound;
    previous = current;
  }
  return previous[b.length] ?? bound;
}
