// What was done to a reply on purpose, on its timeline: a gate that held it, a fault that struck, where it was cut.

import { h, svg } from "./dom.js";
import { duration, shortened } from "./format.js";

export const LABEL = 16;  // px: the height of a label above the picture
const LETTER = 7.2;  // px, of a label

/** The marks of an entry with their moments: `from_ms`, and `to_ms` for a gate that held it. */
export function placed(entry, events) {
  return entry.marks.map((mark) => {
    const before = events[mark.event - 1];
    const after = events[mark.event];
    const end = entry.duration_ms ?? 0;
    const from = mark.kind === "cut" ? end : before ? before.sent_ms ?? before.due_ms : 0;
    if (mark.kind === "gate" || mark.kind === "stall") return { ...mark, from_ms: from, to_ms: Math.max(from, after ? passed(before, after, end) : end) };
    return { ...mark, from_ms: mark.kind === "fault" && after ? after.sent_ms ?? after.due_ms : from, to_ms: null };
  });
}

/** When a gate let the reply go: so long before the next event as that comes after the one before. */
function passed(before, after, end) {
  return after.sent_ms === null ? end : after.due_ms - (after.planned_ms - (before?.planned_ms ?? 0));
}

function describe({ kind, text, from_ms: from, to_ms: to }) {
  if (kind === "cut") return from === undefined ? text : `${text}, after ${duration(from)}`;
  if (to === undefined || to === null) return text;
  return `${text}, ${kind === "gate" ? "held" : "silent"} for ${duration(to - from)}`;
}

function where({ event, text }) {
  if (/^(edited|inserted): /.test(text)) return `at event ${event + 1}`;
  return event === 0 ? "before the first event" : `behind event ${event}`;
}

/** The marks in words. Those of a reply without events have no place. */
export function listed(marks) {
  if (!marks.length) return null;
  return h("ul", { class: "strikes", "aria-label": "Gates and faults", "data-testid": "marks" }, marks.map((mark) =>
    h("li", { "data-strike": mark.kind }, h("i", { class: "strike-swatch" }), describe(mark), mark.from_ms === undefined ? null : h("span", { class: "quiet" }, ` ${where(mark)}`))));
}

/** A row of the table of events. */
export function strikeRow(mark) {
  return h("tr", { class: "strike-row", "data-strike": mark.kind }, h("td", { colspan: 6 }, describe(mark)));
}

/** Lines and bands of the picture, and above them the labels, each in a row of its own. */
export function drawnStrikes(marks, place) {
  const row = (at) => LABEL * at + 12;
  return [...marks.map((mark, at) => drawn(mark, place, row(at))), ...marks.map((mark, at) => label(mark, place, row(at)))];
}

function label(mark, { left, right, x }, y) {
  const at = x(mark.from_ms);
  const isFar = at > (left + right) / 2;
  return svg("text", { class: "strike-label", "data-strike": mark.kind, "aria-hidden": "true", x: at + (isFar ? -5 : 5), y, "text-anchor": isFar ? "end" : "start" },
    shortened(describe(mark), Math.floor((isFar ? at : right - at) / LETTER)));
}

function drawn(mark, { top, bottom, x }, y) {
  const from = x(mark.from_ms);
  return svg("g", { "data-testid": "strike", "data-strike": mark.kind, role: "img", "aria-label": `${describe(mark)} ${where(mark)}` },
    mark.to_ms === null ? null : svg("rect", { class: "strike-band", x: from, y: top, width: Math.max(2, x(mark.to_ms) - from), height: bottom - top }),
    svg("line", { class: "strike-line", x1: from, x2: from, y1: y - 8, y2: bottom }));
}
