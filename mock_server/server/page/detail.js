// One entry of the journal in full: its head, what can be done with it, and the tabs.

import { get, replay } from "./api.js";
import { chat } from "./chat.js";
import { button, copyButton, h, longText } from "./dom.js";
import * as format from "./format.js";
import { side, status } from "./list.js";
import { raw } from "./raw.js";
import { timeline } from "./timeline.js";
import { why } from "./why.js";

const TABS = [["chat", "Chat", chat], ["timeline", "Timeline", timeline], ["raw", "Raw", raw], ["why", "Why", why]];

export class Detail {
  /** `actions`: functions `close()`, `tab(name)`, `open(number)`, `scenario(name)`, `levers()`, `newest()`, `say(text)`. */
  constructor(root, actions) {
    this.root = root;
    this.actions = actions;
    this.number = null;
    this.tab = "";
    this.entry = null;
    this.loading = null;
  }

  /** Show an entry, or nothing (null). Without a tab: why, when nothing matched, else the chat. */
  show(number, tab) {
    const isSame = number === this.number;
    const isOtherTab = tab !== this.tab;
    this.number = number;
    this.tab = tab;
    this.root.hidden = number === null;
    if (number === null) this.clear();
    else if (!isSame) this.load();
    else if (isOtherTab && this.entry) this.drawTab();
  }

  clear() {
    this.loading?.abort();
    this.entry = null;
    this.root.replaceChildren();
  }

  /** A summary came by the stream: look again when it has more than is shown. */
  heard(summary) {
    if (summary.number !== this.number || !this.entry) return;
    if (summary.outcome !== this.entry.outcome || summary.at !== this.entry.at || summary.status !== this.entry.status) this.load();
  }

  /** The connection is there (again): fetch what could not be fetched before. */
  again() {
    if (this.number !== null && !this.entry) this.load();
  }

  async load() {
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    try {
      const entry = await get(`journal/${this.number}`, {}, loading.signal);
      if (!loading.signal.aborted) this.draw(entry);
    } catch (error) {
      if (!loading.signal.aborted) this.drawMissing(error);
    }
  }

  draw(entry) {
    this.entry = entry;
    this.panel = h("div", { class: "panel", role: "tabpanel", id: "panel", tabindex: 0 });
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "What to see of it" }, TABS.map(([name, label]) => this.tabButton(name, label)));
    this.tabs.addEventListener("keydown", (event) => this.moveTab(event));
    this.root.replaceChildren(this.head(), this.tabs, this.panel);
    this.drawTab();
  }

  drawMissing(error) {
    this.entry = null;
    this.root.replaceChildren(
      h("header", { class: "detail-head" }, this.closeButton(), h("h2", {}, `#${this.number}`)),
      h("p", { class: "hint" }, error.message, error.hint ? `: ${error.hint}` : ""));
  }

  // -- head ---------------------------------------------------------------------------------------------------------

  head() {
    const entry = this.entry;
    return h("header", { class: "detail-head" },
      h("div", { class: "title" }, this.closeButton(), h("h2", {}, `#${entry.number} `, this.name()), status(entry)),
      h("ul", { class: "facts" }, facts(entry).map((fact) => h("li", {}, fact))),
      faults(entry),
      moved(entry),
      entry.note ? longText(entry.note, { class: "note", "data-tone": isWarning(entry) ? "warn" : null }, 600) : null,
      contradictions(entry),
      warnings(entry),
      this.buttons());
  }

  name() {
    const { scenario, unmatched, turn, status: code } = this.entry;
    if (unmatched) return h("span", { class: "unmatched" }, "unmatched");
    if (!scenario) return h("span", { class: "quiet" }, code >= 400 ? "refused" : this.entry.path);
    return [scenario, h("span", { class: "quiet" }, ` turn ${turn}`), side(this.entry)];
  }

  closeButton() {
    return button("", this.actions.close, { class: "close icon", "aria-label": "Back to the list", title: "Close (Esc)" });
  }

  buttons() {
    const { entry } = this;
    return h("div", { class: "actions" },
      copyButton("Copy as curl", entry.curl, { "data-testid": "copy-curl" }),
      copyButton("Copy as scenario YAML", () => entry.yaml, { "data-testid": "copy-yaml", disabled: !entry.yaml }),
      button("Replay", () => this.replay(), { "data-testid": "replay", title: "Send the same request again" }));
  }

  async replay() {
    try {
      const number = await replay(this.entry, this.actions.newest());
      if (number === null) this.actions.say("Sent again; the new entry is not in the journal yet.");
      else this.actions.open(number);
    } catch (error) {
      this.actions.say(`Not sent: ${error.message}`);
    }
  }

  // -- tabs ---------------------------------------------------------------------------------------------------------

  get shownTab() {
    const isKnown = TABS.some(([name]) => name === this.tab);
    return isKnown ? this.tab : this.entry.unmatched ? "why" : "chat";
  }

  tabButton(name, label) {
    return h("button", {
      type: "button", role: "tab", id: `tab-${name}`, "data-testid": `tab-${name}`, "data-tab": name, "aria-controls": "panel",
      onclick: () => this.actions.tab(name),
    }, label);
  }

  drawTab() {
    const shown = this.shownTab;
    for (const tab of this.tabs.children) {
      const isShown = tab.dataset.tab === shown;
      tab.setAttribute("aria-selected", String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
    }
    const [, , content] = TABS.find(([name]) => name === shown);
    this.panel.setAttribute("aria-labelledby", `tab-${shown}`);
    this.panel.replaceChildren(content(this.entry, this.actions));
    this.panel.scrollTop = 0;
  }

  moveTab(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    const all = Array.from(this.tabs.children);
    const next = all[(all.findIndex((tab) => tab.tabIndex === 0) + by + all.length) % all.length];
    this.actions.tab(next.dataset.tab);
    next.focus();
  }
}

/** The states that the exchange has moved. */
function moved({ moved: states }) {
  if (!states.length) return null;
  return h("ul", { class: "faults", "aria-label": "States", "data-testid": "moved" }, states.map((one) => h("li", { class: "tag" }, `${one.state}: ${one.before} → ${one.after}`)));
}

function faults({ faults: listed }) {
  if (!listed.length) return null;
  return h("ul", { class: "faults", "aria-label": "Faults", "data-testid": "faults" }, listed.map((one) => h("li", { class: "tag", "data-tone": format.faultTone(one) }, one)));
}

/** What the reply does against its request. */
function contradictions({ contradictions: listed }) {
  return listed.map((one) => longText(one, { class: "note", "data-tone": "warn", "data-testid": "contradiction" }, 600));
}

/** What the reply warns its client of, as far as it is not shown already. */
function warnings({ note, warnings: all, contradictions: others }) {
  const more = all.filter((one) => !note.includes(one) && !others.includes(one));
  return more.map((one) => longText(one, { class: "note", "data-tone": "warn", "data-testid": "warning" }, 600));
}

function isWarning(entry) {
  return entry.unmatched || format.notApplied(entry).length > 0;
}

function facts(entry) {
  const tokens = format.tokens(entry);
  return [
    format.date(entry.at),
    entry.model,
    tokens && `${tokens} tokens`,
    format.duration(entry.duration_ms),
    entry.stream ? "stream" : "JSON",
    entry.attempt > 1 && `attempt ${entry.attempt}`,
    `session ${entry.session}`,
    entry.key,
  ].filter(Boolean);
}
