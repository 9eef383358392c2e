// Doing things not too often.

/** Runs at most once in so many milliseconds, the last time after the last call. */
export function atMostEvery(ms, run) {
  let timer = null;
  let last = -Infinity;
  return () => {
    if (timer !== null) return;
    const wait = Math.max(0, last + ms - performance.now());
    timer = setTimeout(() => {
      timer = null;
      last = performance.now();
      run();
    }, wait);
  };
}

/** Runs once it has not been called for so many milliseconds. */
export function whenCalm(ms, run) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, ms);
  };
}
