// How numbers, times, tokens and outcomes are written.

const OUTCOMES = { open: "open", completed: "completed", client_left: "client left", fault: "cut by fault", ended: "cut off" };
const CUT = new Set(["client_left", "fault", "ended"]);
const NOT_APPLIED = /fault not applied: ([^;]*)/g;
const whole = new Intl.NumberFormat("en");
const hours = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export function count(number) {
  return whole.format(number);
}

/** "1 request", "2 requests", "2 replies" */
export function several(number, one, more = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : more}`;
}

export function time(seconds) {
  return hours.format(seconds * 1000);
}

export function date(seconds) {
  return full.format(seconds * 1000);
}

/** A text of at most so many letters. */
export function shortened(text, most) {
  return text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text;
}

/** Milliseconds with three digits that matter: 0.12 ms, 38 ms, 1.24 s. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "…";
  if (ms >= 60000) return `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  if (ms >= 10) return `${ms.toFixed(0)} ms`;
  return `${ms.toFixed(ms >= 1 ? 1 : 2)} ms`;
}

/** Tokens in and out; "" when the reply tells none. */
export function tokens(entry) {
  if (entry.input_tokens === null && entry.output_tokens === null) return "";
  return `${tally(entry.input_tokens)} → ${tally(entry.output_tokens)}`;
}

function tally(number) {
  return number === null ? "…" : count(number);
}

/** The status; "…" for a reply under way, "none" where a fault left nothing of it. */
export function status(entry) {
  if (entry.status === null) return "…";
  return entry.status === 0 ? "none" : String(entry.status);
}

/** The faults that were asked for and could not be applied, each with its reason. */
export function notApplied(entry) {
  return Array.from(entry.note.matchAll(NOT_APPLIED), ([, reason]) => reason);
}

/** The tone of a fault in words: a gate is none, it only holds. */
export function faultTone(fault) {
  return fault.startsWith("gate ") ? "gate" : "fault";
}

export function outcome(entry) {
  return OUTCOMES[entry.outcome] ?? entry.outcome;
}

/** The tone an entry is shown in: what is wrong stands out, what is right stays calm. */
export function tone(entry) {
  if (entry.status !== null && entry.status >= 400) return "bad";
  if (CUT.has(entry.outcome)) return "warn";
  if (entry.outcome === "open") return "open";
  return "good";
}
