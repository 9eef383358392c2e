// What the page knows of the journal: a bounded number of summaries, which of them pass the filter, and the counts.

export const ROWS = 500;
const HELD = 2000;
const ERRORS = "error";

/** The `outcome` choices of the filter. */
export const OUTCOMES = [
  ["", "any outcome"],
  ["completed", "completed"],
  ["client_left", "client left"],
  ["fault", "cut by fault"],
  ["ended", "cut off"],
  ["open", "open"],
  ["unmatched", "unmatched"],
  [ERRORS, "errors (4xx, 5xx)"],
];

/** A filter as a query of the server, which looks through whole bodies. It has no word for "errors". */
export function asQuery(filter) {
  return { ...filter, outcome: filter.outcome === ERRORS ? "" : filter.outcome };
}

export function isFiltered({ scenario, outcome, text }) {
  return Boolean(scenario || outcome || text);
}

export class Journal {
  constructor() {
    this.filter = { session: "", scenario: "", outcome: "", text: "" };
    this.clear();
  }

  clear() {
    this.entries = new Map();
    this.numbers = [];  // ascending
    this.sorted = true;
    this.found = new Set();  // what the server says has the text of the filter
    this.total = 0;
  }

  get newest() {
    return this.ordered().at(-1) ?? 0;
  }

  /** An entry came or changed. */
  put(summary) {
    const { number } = summary;
    if (!this.entries.has(number)) {
      if (number > (this.numbers[0] ?? 0)) this.total += 1;
      if (number < (this.numbers.at(-1) ?? 0)) this.sorted = false;
      this.numbers.push(number);
    }
    this.entries.set(number, summary);
    if (this.numbers.length > HELD * 1.2) this.trim();
  }

  /** Entries of a page that was asked for: what the stream has told meanwhile is newer. */
  merge(page) {
    for (const summary of page.entries) {
      const known = this.entries.get(summary.number);
      if (!known || known.outcome === "open") this.put(summary);
    }
    this.found = new Set(this.filter.text ? page.entries.map((one) => one.number) : []);
    this.total = Math.max(page.total, this.entries.size);
  }

  /** Entries came that the stream did not show. */
  skipped(number) {
    this.total += number;
  }

  trim() {
    const excess = this.numbers.length - HELD;
    const isKept = (number, index) => index >= excess || this.found.has(number);
    const all = this.ordered();
    for (const [index, number] of all.entries()) if (!isKept(number, index)) this.entries.delete(number);
    this.numbers = all.filter(isKept);
  }

  ordered() {
    if (!this.sorted) this.numbers.sort((a, b) => a - b);
    this.sorted = true;
    return this.numbers;
  }

  /** The newest entries that pass the filter, newest first, at most ROWS; `matching` counts all of them. */
  shown() {
    const rows = [];
    let matching = 0;
    const all = this.ordered();
    const text = this.filter.text.toLowerCase();
    for (let at = all.length - 1; at >= 0; at -= 1) {
      const entry = this.entries.get(all[at]);
      if (!this.passes(entry, text)) continue;
      matching += 1;
      if (rows.length < ROWS) rows.push(entry);
    }
    return { rows, matching };
  }

  passes(entry, text) {
    const { session, scenario, outcome } = this.filter;
    return (!session || entry.session === session)
      && (!scenario || entry.scenario === scenario)
      && (!outcome || hasOutcome(entry, outcome))
      && (!text || this.found.has(entry.number) || words(entry).includes(text));
  }
}

function hasOutcome(entry, outcome) {
  if (outcome === "unmatched") return entry.unmatched;
  if (outcome === ERRORS) return entry.status >= 400;
  return entry.outcome === outcome;
}

function words(entry) {
  return `#${entry.number}\n${entry.scenario ?? ""}\n${entry.model ?? ""}\n${entry.path}\n${entry.request_id ?? ""}\n${entry.note}\n${entry.warnings.join("\n")}\n${entry.faults.join("\n")}\n${entry.prompt}`.toLowerCase();
}
