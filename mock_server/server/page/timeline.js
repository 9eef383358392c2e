// The timeline of a stream: a picture of its events on a time axis (due against sent), and the events as a table. Where
// it was held, broken or cut is in `strikes.js`.

import { button, fill, h, longText, svg } from "./dom.js";
import { duration, several, shortened } from "./format.js";
import { json } from "./json.js";
import { LABEL, drawnStrikes, listed, placed, strikeRow } from "./strikes.js";

const LANE = 40;
const DUE = 13;  // where in its lane an event was due, and where it was sent
const SENT = 28;
const TOP = 22;
const AXIS = 24;
const RIGHT = 26;
const MOST_DRAWN = 600;
const DENSE = 150;  // from so many events on, the marks are small
const MOST_ROWS = 400;
const KNOWN_KINDS = ["message", "ping", "text", "thinking", "tool_use", "error", "broken"];
const BLOCK = /^content_block_(start|delta|stop)$/;
const MESSAGE = /^message_(start|delta|stop)$/;

/** `actions.levers()` shows where gates are opened and the clock is turned. */
export function timeline(entry, actions) {
  if (entry.outcome === "open") return underWay(entry, actions);
  if (!entry.events.length) return h("div", { class: "timeline" }, h("p", { class: "hint" }, withoutEvents(entry)), listed(entry.marks));
  const events = described(entry.events, entry.marks);
  const strikes = placed(entry, events);
  const payload = h("aside", { class: "payload", "aria-label": "Payload of the event", "data-testid": "payload" });
  const shown = h("div", { class: "timeline" });
  const pick = (number) => {
    payload.replaceChildren(...payloadOf(events[number]));
    for (const old of shown.querySelectorAll(".is-picked")) old.classList.remove("is-picked");
    for (const one of shown.querySelectorAll(`[data-event="${number}"]`)) one.classList.add("is-picked");
  };
  fill(shown, [
    h("p", { class: "quiet" }, summary(entry, events)),
    picture(entry, events, strikes, pick),
    legend(entry, events),
    listed(strikes),
    h("div", { class: "events-and-payload" }, table(events, strikes, pick), payload)]);
  pick(0);
  return shown;
}

// -- what the events are --------------------------------------------------------------------------------------------

/** The events with their number, the kind of block they belong to, the lane they are drawn in, and their gist. `due_ms`
 * counts the time at gates; `planned_ms` does not. */
function described(events, marks) {
  const kinds = new Map();
  const held = heldBefore(events, marks);
  return events.map((event, number) => {
    const { type, payload } = event;
    const index = BLOCK.test(type) ? payload.index : null;
    if (type === "content_block_start") kinds.set(index, payload.content_block?.type ?? "block");
    const kind = index === null ? kindOf(type) : kinds.get(index) ?? "block";
    const lane = index === null ? (kind === "broken" || kind === "unknown" ? kind : "message") : `${index} ${kind}`;
    return { ...event, number, kind, lane, gist: gist(payload), planned_ms: event.due_ms, due_ms: event.due_ms + held[number] };
  });
}

/** For each event the time that gates have held the reply before it. Nothing says when a gate let it go: it was as late
 * as the event behind it that was least late. */
function heldBefore(events, marks) {
  const gates = marks.filter((mark) => mark.kind === "gate").map((mark) => mark.event);
  const held = [];
  for (const [at, start] of [0, ...gates].entries()) {
    const part = events.slice(start, gates[at] ?? events.length);
    const behind = part.filter((event) => event.sent_ms !== null).map(late);
    const before = held.at(-1) ?? 0;
    const own = at === 0 ? 0 : Math.max(before, behind.length ? Math.min(...behind) : before);
    held.push(...part.map(() => own));
  }
  return held;
}

/** The kind of an event that belongs to no block; "unknown" for one that is not of the API. */
function kindOf(type) {
  if (type === "ping" || type === "error") return type;
  if (type.startsWith("(")) return "broken";
  return MESSAGE.test(type) ? "message" : "unknown";
}

function gist({ type, text, data, delta = {}, content_block: block, error, usage }) {
  if (type === "(bytes)" || type === "(broken)") return JSON.stringify(text ?? data ?? "");
  const found = delta.text ?? delta.thinking ?? delta.partial_json ?? delta.stop_reason ?? error?.message;
  if (found !== undefined) return String(found);
  if (delta.signature) return "(signature)";
  if (delta.type) return `(${delta.type})`;
  if (block) return [block.type, block.name].filter(Boolean).join(" ");
  return usage ? `${usage.output_tokens ?? 0} ${usage.output_tokens === 1 ? "token" : "tokens"} out` : "";
}

function colour(kind) {
  if (KNOWN_KINDS.includes(kind)) return kind;
  return kind.endsWith("tool_use") ? "tool_use" : "other";
}

function late(event) {
  return event.sent_ms === null ? null : event.sent_ms - event.due_ms;
}

function summary(entry, events) {
  const sent = events.filter((event) => event.sent_ms !== null);
  const parts = [several(events.length, "event")];
  if (sent.length < events.length) parts.push(`${events.length - sent.length} never sent`);
  if (sent.length) {
    parts.push(`first after ${duration(sent[0].sent_ms)}`, `last after ${duration(sent.at(-1).sent_ms)}`);
    parts.push(`at most ${duration(Math.max(0, ...sent.map(late)))} late`);
  }
  if (entry.left_ms !== null) parts.push(`client left after ${duration(entry.left_ms)}`);
  return parts.join(" · ");
}

function withoutEvents(entry) {
  const what = entry.status === 0 ? "No reply at all" : entry.stream ? "A stream without an event" : "One JSON reply, no events";
  return `${what}. It took ${duration(entry.duration_ms)}.`;
}

/** Of an open reply: what may be holding it. */
function underWay(entry, { levers }) {
  const gates = entry.marks.filter((mark) => mark.kind === "gate");
  return h("div", { class: "timeline" },
    h("p", { class: "hint" }, "The reply is under way; its events can be seen when it has ended."),
    listed(entry.marks),
    gates.length ? h("p", { class: "hint" }, "A gate may be holding it. ", button("Gates", levers, { class: "link" })) : null);
}

function describe(event) {
  const sent = event.sent_ms === null ? "never sent" : `sent ${duration(event.sent_ms)}`;
  return `${event.type}, ${event.kind}, due ${duration(event.due_ms)}, ${sent}`;
}

// -- the picture ----------------------------------------------------------------------------------------------------

/** Draws again when its width changes. */
function picture(entry, events, strikes, pick) {
  const lanes = [...new Set(events.map((event) => event.lane))];
  const drawn = sample(events);
  const figure = h("figure", { class: "picture" });
  const draw = (width) => figure.replaceChildren(drawing(entry, drawn, strikes, lanes, Math.max(width, 280), pick));
  draw(800);
  new ResizeObserver(([seen]) => draw(Math.floor(seen.contentRect.width))).observe(figure);
  return figure;
}

/** Of a very long stream, every n-th delta or piece. */
function sample(events) {
  const step = Math.ceil(events.length / MOST_DRAWN);
  return step === 1 ? events : events.filter((event, at) => at % step === 0 || !/_delta$|^\(/.test(event.type));
}

function drawing(entry, events, strikes, lanes, width, pick) {
  const left = width < 520 ? 92 : 124;
  const top = TOP + LABEL * strikes.length;
  const height = top + lanes.length * LANE + AXIS;
  const end = lastMoment(entry, events);
  const x = (ms) => left + (ms / end) * (width - left - RIGHT);
  const place = { left, right: width - RIGHT, top, bottom: height - AXIS, x };
  const radius = events.length > DENSE ? 2.5 : 4.5;
  const marks = events.map((event) => mark(event, x, top + lanes.indexOf(event.lane) * LANE, radius));
  const made = svg("svg", {
    "data-testid": "timeline", class: events.length > DENSE ? "events-picture is-dense" : "events-picture", width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": "Events on a time axis. The left and right arrow keys go from one to the next.",
  },
  lanes.map((lane, at) => laneLine(lane, place, top + at * LANE)), axis(end, place), drawnStrikes(strikes, place), departure(entry, place), marks);
  if (marks.length) listen(made, marks, pick);
  return made;
}

function lastMoment(entry, events) {
  const moments = events.flatMap((event) => [event.due_ms, event.sent_ms ?? 0]);
  return Math.max(...moments, entry.duration_ms ?? 0, 1);
}

function laneLine(lane, { left, right }, y) {
  return [
    svg("line", { class: "lane", x1: left, x2: right, y1: y + LANE, y2: y + LANE }),
    svg("text", { class: "lane-name", x: 0, y: y + LANE / 2 + 4 }, shortened(lane, left < 100 ? 13 : 18)),
  ];
}

function axis(end, { left, right, top, bottom, x }) {
  const step = tickStep(end, Math.max(2, Math.floor((right - left) / 90)));
  const ticks = [];
  for (let ms = 0; ms <= end; ms += step) ticks.push(tick(ms, x(ms), top, bottom));
  return [svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }), ticks];
}

function tick(ms, x, top, bottom) {
  const label = ms >= 1000 ? `${+(ms / 1000).toFixed(2)} s` : `${+ms.toFixed(2)} ms`;
  return [
    svg("line", { class: "tick", x1: x, x2: x, y1: top, y2: bottom + 4 }),
    svg("text", { class: "tick-label", x, y: bottom + 17, "text-anchor": "middle" }, label),
  ];
}

/** 1, 2 or 5 times a power of ten, so that at most `most` ticks fit. */
function tickStep(end, most) {
  const power = 10 ** Math.floor(Math.log10(end / most));
  return power * ([1, 2, 5].find((times) => end / (power * times) <= most) ?? 10);
}

/** Where the client left, and the time it was no longer there. */
function departure({ left_ms: ms }, { left, right, top, bottom, x }) {
  if (ms === null) return null;
  const at = x(ms);
  const isNearEnd = at > (left + right) / 2;
  return svg("g", { "data-testid": "left-mark" },
    svg("rect", { class: "gone", x: at, y: top, width: Math.max(0, right - at), height: bottom - top }),
    svg("line", { class: "left-line", x1: at, x2: at, y1: top - 6, y2: bottom }),
    svg("text", { class: "left-label", x: at + (isNearEnd ? -5 : 5), y: top - 8, "text-anchor": isNearEnd ? "end" : "start" }, `client left ${duration(ms)}`));
}

/** A ring where the event was due, a dot where it was sent, a line between them. */
function mark(event, x, y, radius) {
  const due = x(event.due_ms);
  const sent = event.sent_ms === null ? null : x(event.sent_ms);
  return svg("g", {
    class: sent === null ? "event never-sent" : "event", "data-kind": colour(event.kind), "data-event": event.number,
    tabindex: event.number === 0 ? 0 : -1, role: "img", "aria-label": describe(event),
  },
  svg("rect", { class: "target", x: Math.min(due, sent ?? due) - 4, y: y + 2, width: Math.abs(due - (sent ?? due)) + 8, height: LANE - 4 }),
  sent === null ? null : svg("line", { class: "lag", x1: due, y1: y + DUE, x2: sent, y2: y + SENT }),
  svg("circle", { class: "due", cx: due, cy: y + DUE, r: radius - 0.5 }),
  sent === null ? null : svg("circle", { class: "sent", cx: sent, cy: y + SENT, r: radius }));
}

function listen(made, marks, pick) {
  const seen = (event) => event.target.closest("[data-event]");
  made.addEventListener("pointerover", (event) => seen(event) && pick(seen(event).dataset.event));
  made.addEventListener("focusin", (event) => seen(event) && pick(seen(event).dataset.event));
  made.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = by && marks[marks.indexOf(seen(event)) + by];
    if (next) next.focus();
    if (by) event.preventDefault();
  });
}

// -- the rest of the tab --------------------------------------------------------------------------------------------

function legend(entry, events) {
  const kinds = [...new Set(events.map((event) => event.kind))];
  const has = events.some((event) => event.sent_ms === null);
  return h("ul", { class: "legend", "aria-label": "Legend" },
    kinds.map((kind) => h("li", { "data-kind": colour(kind) }, h("i", { class: "swatch" }), kind)),
    h("li", {}, h("i", { class: "swatch is-due" }), "due"),
    h("li", {}, h("i", { class: "swatch is-sent" }), "sent"),
    has ? h("li", {}, h("i", { class: "swatch is-never" }), "never sent") : null,
    entry.left_ms === null ? null : h("li", {}, h("i", { class: "swatch is-left" }), "client left"));
}

function table(events, strikes, pick) {
  const shown = events.slice(0, MOST_ROWS);
  const before = (number) => strikes.filter((one) => one.event === number).map(strikeRow);
  const rows = h("tbody", {}, shown.map((event) => [before(event.number), tableRow(event)]), shown.length === events.length ? before(events.length) : null);
  const heads = ["#", "Event", "Due", "Sent", "Late", "Says"].map((name) => h("th", { scope: "col" }, name));
  const made = h("table", { class: "events", "aria-label": "Events" }, h("thead", {}, h("tr", {}, heads)), rows);
  for (const name of ["pointerover", "click"]) {
    made.addEventListener(name, (event) => {
      const row = event.target.closest("[data-event]");
      if (row) pick(row.dataset.event);
    });
  }
  const left = events.length - MOST_ROWS;
  return h("div", { class: "events-scroller", tabindex: 0, role: "region", "aria-label": "Events as a table" }, made,
    left > 0 ? h("p", { class: "quiet" }, `${several(left, "more event")}: see the picture, or the raw reply.`) : null);
}

function tableRow(event) {
  const lag = late(event);
  return h("tr", { "data-event": event.number, "data-kind": colour(event.kind), class: event.sent_ms === null ? "never-sent" : null },
    h("td", { class: "quiet" }, String(event.number + 1)),
    h("td", {}, h("i", { class: "swatch" }), event.type.replace("content_block_", "block_")),
    h("td", { class: "number" }, duration(event.due_ms)),
    h("td", { class: "number" }, event.sent_ms === null ? "never" : duration(event.sent_ms)),
    h("td", { class: "number quiet" }, lag === null ? "" : duration(Math.max(0, lag))),
    h("td", { class: "gist" }, event.gist));
}

function payloadOf(event) {
  return [h("p", { class: "quiet" }, `${event.number + 1}. ${describe(event)}`), pretty(event)];
}

/** The payload; of what is no event, its text as it is. */
function pretty({ kind, payload }) {
  return kind === "broken" ? longText(payload.text ?? payload.data ?? "", { class: "code" }) : json(payload);
}
