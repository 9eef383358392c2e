// The filter bar and the session picker: what they hold goes into the address, and comes from there.

import { byId, h } from "./dom.js";
import { OUTCOMES } from "./journal.js";

const SOON = 200;

export class Filters {
  /** `changed(filter)` runs when a person chose something else. */
  constructor(changed) {
    this.text = byId("filter-text");
    this.selects = { scenario: byId("filter-scenario"), outcome: byId("filter-outcome"), session: byId("session") };
    this.names = { scenario: [], session: [] };
    let timer = null;
    this.text.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => changed({ text: this.text.value.trim() }), SOON);
    });
    for (const [name, select] of Object.entries(this.selects)) {
      select.addEventListener("change", () => changed({ [name]: select.value }));
    }
    byId("clear-filter").addEventListener("click", () => {
      changed({ text: "", scenario: "", outcome: "" });
    });
    fill(this.selects.outcome, OUTCOMES, "");
    this.offer("scenario", []);
    this.offer("session", []);
  }

  /** The names to choose from. */
  offer(kind, names) {
    this.names[kind] = names;
    this.fill(kind, this.selects[kind].value);
  }

  fill(kind, chosen) {
    const names = [...new Set([...this.names[kind], ...(chosen ? [chosen] : [])])];
    fill(this.selects[kind], [["", kind === "session" ? "all" : "any scenario"], ...names.map((name) => [name, name])], chosen);
  }

  /** Show what the address says. */
  show(filter) {
    if (this.text.value.trim() !== filter.text) this.text.value = filter.text;
    this.fill("scenario", filter.scenario);
    this.fill("session", filter.session);
    this.selects.outcome.value = filter.outcome;
    byId("clear-filter").hidden = !(filter.text || filter.scenario || filter.outcome);
  }
}

/** The options of a select, touched only when they differ: an open one stays open. */
function fill(select, options, chosen) {
  const now = Array.from(select.options, (option) => [option.value, option.text]);
  if (JSON.stringify(now) !== JSON.stringify(options)) {
    select.replaceChildren(...options.map(([value, label]) => h("option", { value }, label)));
  }
  select.value = chosen;
}
