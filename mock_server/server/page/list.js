// The list of requests: one table row per entry, drawn at most once per animation frame and a few times a second.

import { byId, h } from "./dom.js";
import * as format from "./format.js";
import { ROWS, isFiltered } from "./journal.js";

const SCROLLED = 40;  // px from the top: the newest rows are out of sight
const PAUSE_BETWEEN = 100;  // ms: enough to look live, few enough to leave the machine to the server

export class List {
  /** `open(number)` runs when a row is chosen. */
  constructor(journal, open) {
    this.journal = journal;
    this.open = open;
    this.body = byId("rows");
    this.rows = new Map();
    this.drawn = new Map();  // number -> the summary a row shows
    this.selected = null;
    this.isToBeSeen = false;  // the selected row was not yet scrolled to
    this.isLoaded = false;
    this.paused = false;
    this.totalAtPause = 0;
    this.held = false;  // the pointer is down: rows stay where they are
    this.lastDraw = 0;
    this.waiting = false;
    this.listen();
    this.listenToScroll();
  }

  listen() {
    this.body.addEventListener("click", (event) => this.chosen(event));
    this.body.addEventListener("pointerdown", () => { this.held = true; });
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => this.letGo());
  }

  /** Who has scrolled down keeps what they see while rows come above; this brings them back. */
  listenToScroll() {
    const scroller = byId("scroller");
    const toNewest = byId("to-newest");
    scroller.addEventListener("scroll", () => { toNewest.hidden = scroller.scrollTop < SCROLLED; }, { passive: true });
    toNewest.addEventListener("click", () => { scroller.scrollTop = 0; });
  }

  chosen(event) {
    const row = event.target.closest("[data-number]");
    if (row && !String(getSelection())) this.open(Number(row.dataset.number));
  }

  letGo() {
    if (!this.held) return;
    setTimeout(() => { this.held = false; this.changed(); });  // after the click
  }

  /** Hold the list still, or let it go on. Whether it now stands still. */
  pause() {
    this.paused = !this.paused;
    this.totalAtPause = this.journal.total;
    this.changed();
    return this.paused;
  }

  /** The journal changed: draw soon. */
  changed() {
    if (this.waiting) return;
    this.waiting = true;
    const wait = Math.max(0, this.lastDraw + PAUSE_BETWEEN - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.drawIfMoving()), wait);
  }

  drawIfMoving() {
    this.waiting = false;
    if (this.paused) this.drawPaused();
    else if (!this.held) this.draw();
  }

  draw() {
    this.lastDraw = performance.now();
    const { rows, matching } = this.journal.shown();
    this.drawRows(rows);
    this.matching = matching;
    this.drawCount();
    this.drawSelected();
    byId("nothing").hidden = rows.length > 0 || this.journal.total === 0 || !this.isLoaded;
    byId("empty").hidden = this.journal.total > 0 || !this.isLoaded;
    this.body.closest("table").hidden = rows.length === 0;
  }

  drawRows(entries) {
    const wanted = new Set(entries.map((entry) => entry.number));
    for (const [number, row] of this.rows) if (!wanted.has(number)) this.forget(number, row);
    let next = this.body.firstElementChild;
    for (const entry of entries) {
      const row = this.row(entry);
      if (row === next) next = next.nextElementSibling;
      else this.body.insertBefore(row, next);
    }
  }

  forget(number, row) {
    row.remove();
    this.rows.delete(number);
    this.drawn.delete(number);
  }

  row(entry) {
    const known = this.rows.get(entry.number);
    if (known && this.drawn.get(entry.number) === entry) return known;
    const row = known ?? h("tr", { role: "row", class: "row", "data-testid": "entry-row", "data-number": entry.number, tabindex: -1 });
    row.dataset.tone = format.tone(entry);
    row.replaceChildren(...cells(entry));
    this.rows.set(entry.number, row);
    this.drawn.set(entry.number, entry);
    return row;
  }

  drawCount() {
    const { total, filter } = this.journal;
    const text = isFiltered(filter) ? filteredCount(this.rows.size, this.matching) : wholeCount(this.rows.size, total);
    byId("count").textContent = this.isLoaded ? text : "";
  }

  drawPaused() {
    byId("count").textContent = `paused, ${format.count(Math.max(0, this.journal.total - this.totalAtPause))} more came`;
  }

  /** One row can be reached by Tab: the selected one, else the first. */
  drawSelected() {
    for (const row of this.body.querySelectorAll('[aria-selected="true"], [tabindex="0"]')) {
      row.removeAttribute("aria-selected");
      row.tabIndex = -1;
    }
    const row = this.rows.get(this.selected);
    row?.setAttribute("aria-selected", "true");
    const reached = row ?? this.body.firstElementChild;
    if (reached) reached.tabIndex = 0;
    if (row && this.isToBeSeen) row.scrollIntoView({ block: "nearest" });
    if (row) this.isToBeSeen = false;
  }

  select(number) {
    this.isToBeSeen = number !== this.selected;
    this.selected = number;
    this.drawSelected();
  }

  /** Put the focus on a row, so that it is in sight and the keys go on from it. */
  focus(number) {
    const row = this.rows.get(number);
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  }

  focused() {
    const row = document.activeElement?.closest("#rows [data-number]");
    return row ? Number(row.dataset.number) : null;
  }

  /** The entry so many rows below the one in use; without one, the newest. */
  beside(by) {
    const numbers = Array.from(this.body.children, (row) => Number(row.dataset.number));
    const at = numbers.indexOf(this.selected ?? this.focused());
    if (at < 0) return numbers[0] ?? null;
    return numbers[Math.min(Math.max(at + by, 0), numbers.length - 1)];
  }
}

function wholeCount(shown, total) {
  if (shown >= total) return format.several(total, "request");
  return `showing ${format.count(shown)} of ${format.count(total)}, ${format.count(total - shown)} left out`;
}

function filteredCount(shown, matching) {
  return matching > shown ? `showing the newest ${ROWS} that match` : `${format.count(shown)} match${shown === 1 ? "es" : ""}`;
}

function cells(entry) {
  return [
    cell("number", h("span", { class: "quiet" }, `#${entry.number}`)),
    cell("time", format.time(entry.at)),
    cell("status", status(entry)),
    cell("scenario", scenario(entry)),
    cell("prompt", [faults(entry), contradicts(entry), warned(entry), entry.prompt || unread(entry)]),
    cell("model", entry.model ?? ""),
    cell("tokens", format.tokens(entry)),
    cell("took", format.duration(entry.duration_ms)),
  ];
}

function cell(name, content) {
  return h("td", { role: "gridcell", class: `cell-${name}` }, content);
}

/** The status as a badge; the outcome beside it when it is not the usual one. */
export function status(entry) {
  const isUsual = entry.outcome === "completed";
  return h("span", { class: "status" },
    h("span", { class: "badge", "data-tone": format.tone(entry) }, format.status(entry)),
    h("span", { class: isUsual ? "outcome off-screen" : "outcome" }, format.outcome(entry)));
}

/** What went wrong with it on purpose, and what could not: the first word of each fault, the rest on demand. */
function faults(entry) {
  const missed = format.notApplied(entry);
  return [
    ...entry.faults.map((fault) => h("span", { class: "tag", "data-tone": format.faultTone(fault), title: fault, "data-testid": "fault-tag" }, fault.split(" ")[0])),
    missed.length ? h("span", { class: "tag", "data-tone": "warn", title: missed.join("\n"), "data-testid": "fault-tag" }, "not applied") : null,
  ];
}

/** The mark of a reply that contradicts its request: how, on demand. */
function contradicts({ contradictions }) {
  if (!contradictions.length) return null;
  return h("span", { class: "tag", "data-tone": "warn", title: contradictions.join("\n"), "data-testid": "contradiction-tag" }, "contradicts");
}

/** The mark of a reply that warns its client of something that no other mark shows. */
function warned(entry) {
  const warnings = entry.warnings.filter((one) => !one.startsWith("fault not applied") && !entry.contradictions.includes(one));
  return warnings.length ? h("span", { class: "tag", "data-tone": "warn", title: warnings.join("\n"), "data-testid": "warning-tag" }, "warning") : null;
}

/** What stands for a prompt where there is none: where the request went, and what became of it. */
function unread(entry) {
  const path = `${entry.method} ${entry.path}`;
  return [h("span", { class: entry.note ? "quiet" : null }, path), entry.note ? `: ${entry.note}` : ""];
}

/** The mark of a side call of an agent. */
export function side(entry) {
  return entry.side ? h("span", { class: "side", title: "A side call of an agent: tests do not count it" }, "side") : null;
}

function scenario(entry) {
  const { attempt, turn } = entry;
  const again = attempt > 1 ? h("span", { class: "quiet", title: `attempt ${attempt}` }, ` ×${attempt}`) : null;
  if (entry.scenario) return h("span", {}, entry.scenario, h("span", { class: "quiet" }, ` turn ${turn}`), again, side(entry));
  return h("span", { class: entry.unmatched ? "unmatched" : "quiet" }, entry.unmatched ? "unmatched" : entry.status >= 400 ? "refused" : "none");
}
