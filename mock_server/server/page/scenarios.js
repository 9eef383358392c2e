// What the server is answering from: the scenarios with their hits, the source of one, and what could not be loaded.

import { get } from "./api.js";
import { button, byId, copyButton, h, longText, pairs } from "./dom.js";
import { count, several } from "./format.js";

export class Scenarios {
  /** `actions`: functions `source(name)`, `requests(name)`, `known(names)`. */
  constructor(root, actions) {
    this.root = root;
    this.actions = actions;
    this.session = "";
    this.chosen = "";
    this.all = [];
    this.search = h("input", { type: "search", placeholder: "Filter scenarios", "aria-label": "Filter scenarios", autocomplete: "off", oninput: () => this.drawList() });
    this.count = h("p", { class: "count" });
    this.items = h("ul", { class: "scenario-list" });
    this.source = h("section", { class: "pane source", "aria-label": "Source", hidden: true });
    root.append(
      h("section", { class: "pane list-pane", "aria-label": "Scenarios" },
        h("div", { class: "filters" }, this.search), this.count, h("div", { class: "scroller" }, this.items)),
      this.source);
  }

  async load() {
    const answer = await get("scenarios", { session: this.session });
    this.all = answer.scenarios;
    this.actions.known([...new Set(this.all.map((one) => one.name))].sort());
    drawErrors(answer.load_error ?? []);
    this.drawList();
    if (this.chosen) await this.drawSource();
  }

  /** Show the source of a scenario, or none (""). */
  async show(name) {
    this.chosen = name;
    this.source.hidden = name === "";
    this.drawList();
    if (name) await this.drawSource();
  }

  // -- list ---------------------------------------------------------------------------------------------------------

  drawList() {
    const text = this.search.value.trim().toLowerCase();
    const shown = this.all.filter((one) => `${one.name} ${one.description} ${one.source} ${one.when}`.toLowerCase().includes(text));
    const used = this.all.filter((one) => one.calls > 0).length;
    this.count.textContent = text ? `${shown.length} of ${several(this.all.length, "scenario")}` : `${several(this.all.length, "scenario")}, ${used} used`;
    this.items.replaceChildren(...shown.map((one) => this.item(one)));
  }

  item(one) {
    const open = button([
      h("span", { class: "scenario-name" }, one.name, one.session ? h("span", { class: "tag" }, `session ${one.session}`) : null),
      h("span", { class: one.calls ? "calls" : "calls quiet" }, one.calls ? several(one.calls, "call") : "never called"),
      one.description ? h("span", { class: "description" }, one.description) : null,
      h("span", { class: "quiet when" }, `${several(one.turns, "turn")} · when: ${one.when || "always"}`),
      h("span", { class: "quiet from" }, one.source || "added at run time"),
    ], () => this.actions.source(one.name), { class: "scenario", "aria-current": one.name === this.chosen ? "true" : null, "data-testid": "scenario-row" });
    return h("li", {}, open);
  }

  /** The scenario so many rows below the one that is shown. */
  beside(by) {
    const names = Array.from(this.items.querySelectorAll(".scenario-name"), (name) => name.firstChild.data);
    const at = names.indexOf(this.chosen);
    return names[at < 0 ? 0 : Math.min(Math.max(at + by, 0), names.length - 1)] ?? "";
  }

  // -- source -------------------------------------------------------------------------------------------------------

  async drawSource() {
    const name = this.chosen;
    const content = await this.described(name).catch((error) => [h("h2", {}, name), h("p", { class: "hint" }, error.message)]);
    if (name !== this.chosen) return;
    const close = button("", () => this.actions.source(""), { class: "close icon", "aria-label": "Back to the list", title: "Close (Esc)" });
    const [title, ...rest] = content;
    this.source.replaceChildren(h("header", { class: "detail-head" }, h("div", { class: "title" }, close, title)), h("div", { class: "panel" }, rest));
  }

  async described(name) {
    const one = await get(`scenarios/${encodeURIComponent(name)}`, { session: this.session });
    return [
      h("h2", {}, one.name),
      one.description ? h("p", {}, one.description) : null,
      pairs([["Matches when", one.when || "always"], ["From", one.source || "added at run time"], ["Turns", count(one.turns)], ["Calls", count(one.calls)],
        ["Session", one.session ?? "all"]]),
      h("section", { class: "block" },
        h("header", {}, h("h4", {}, "Source"),
          button("Its requests", () => this.actions.requests(one.name), { class: "small" }),
          copyButton("Copy", one.yaml, { class: "small" })),
        longText(one.yaml, { class: "code", "data-testid": "scenario-yaml" })),
    ];
  }
}

/** What is wrong in the files is shown on every view: until it is mended, old scenarios answer. */
function drawErrors(lines) {
  const shown = byId("load-errors");
  shown.hidden = lines.length === 0;
  const text = shown.dataset.text ?? "";
  if (text === lines.join("\n")) return;
  shown.dataset.text = lines.join("\n");
  shown.replaceChildren(
    h("strong", {}, `${several(lines.length, "mistake")} in the scenario files; what was loaded before still answers.`),
    h("ul", {}, lines.map((line) => h("li", {}, h("code", {}, line)))));
}
