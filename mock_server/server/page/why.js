// Why this answer: for an unmatched request the scenarios that came near and a stub to start from, else what answered.

import { get } from "./api.js";
import { button, copyButton, h, longText, pairs } from "./dom.js";
import { several } from "./format.js";

/** `actions.scenario(name)` shows a scenario. */
export function why(entry, actions) {
  if (entry.unmatched) return h("div", { class: "why" }, unmatched(entry));
  return h("div", { class: "why" }, entry.scenario ? answered(entry, actions) : withoutScenario(entry));
}

// -- unmatched ------------------------------------------------------------------------------------------------------

function unmatched(entry) {
  return [
    h("p", {}, "No scenario matched this request", entry.status >= 400 ? ", so it was refused." : "; the reply was generated."),
    h("h3", {}, "What came nearest"),
    entry.near_misses.length ? entry.near_misses.map(nearMiss) : h("p", { class: "hint" }, "No scenario came near: none has conditions that this request meets in part."),
    entry.stub ? stub(entry.stub) : null,
  ];
}

function nearMiss({ scenario, misses }) {
  const heads = ["Condition", "Wanted", "Got"].map((name) => h("th", { scope: "col" }, name));
  return h("section", { class: "near-miss", "data-testid": "near-miss" },
    h("h4", {}, scenario, h("span", { class: "quiet" }, ` missed by ${several(misses.length, "condition")}`)),
    h("div", { class: "wide" }, h("table", { class: "misses" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, misses.map(miss)))));
}

function miss({ condition, wanted, got }) {
  return h("tr", {},
    h("th", { scope: "row" }, condition),
    h("td", { "data-label": "wanted" }, h("code", {}, wanted)),
    h("td", { "data-label": "got" }, h("code", {}, got)));
}

function stub(yaml) {
  return h("section", { class: "block" },
    h("header", {}, h("h4", {}, "A scenario that would have matched"), copyButton("Copy YAML", yaml, { class: "small", "data-testid": "copy-stub" })),
    longText(yaml, { class: "code", "data-testid": "stub" }));
}

// -- answered -------------------------------------------------------------------------------------------------------

function answered(entry, actions) {
  const source = h("div", {}, h("p", { class: "hint" }, "Looking it up…"));
  showSource(entry, source);
  return [
    h("p", {}, "Answered by the scenario ", h("strong", {}, entry.scenario), `, turn ${entry.turn}`, entry.attempt > 1 ? `, attempt ${entry.attempt}` : "", "."),
    source,
    button("Show in scenarios", () => actions.scenario(entry.scenario)),
  ];
}

async function showSource(entry, into) {
  try {
    const one = await get(`scenarios/${encodeURIComponent(entry.scenario)}`, { session: entry.session });
    into.replaceChildren(
      pairs([["Turns", String(one.turns)], ["Matches when", one.when || "always"], ["From", one.source || "added at run time"]]),
      longText(one.yaml, { class: "code" }));
  } catch {
    into.replaceChildren(h("p", { class: "hint" }, "This scenario is no longer served."));
  }
}

function withoutScenario(entry) {
  const isError = entry.status >= 400;
  const message = isError ? entry.note || entry.reply.body?.error?.message : null;
  const hint = entry.reply.headers["x-mock-hint"];
  return [
    h("p", {}, isError ? "No scenario answered: the request was refused." : "The server answers this by itself, without a scenario."),
    message ? longText(message, { class: "code" }) : null,
    hint ? h("p", { class: "hint" }, hint) : null,
  ];
}
