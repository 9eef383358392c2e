// The overlays: what lies over replies, the switches of each, and the form that adds another.

import { ApiError, call, postYaml, put } from "./api.js";
import { button, h } from "./dom.js";
import { area, goTo, mistakes } from "./editor.js";
import { section } from "./section.js";

const ROWS = 5;
// of the keys that a fault cannot do without
const EXAMPLES = { for: "5s", bytes_per_second: "200", name: "hold", event: "message_start", set: "{message.usage.input_tokens: 0}", raw: '": hello\\n\\n"' };

export class Chaos {
  /** `turn(run)` does something and draws what came of it; `say(text)` shows it in passing. */
  constructor(turn, say) {
    this.turn = turn;
    this.say = say;
    this.faults = [];
    this.names = new Set();
    this.session = "default";
    this.list = section("Chaos", "chaos");
    this.element = this.list.element;
    this.element.append(this.form());
  }

  /** `every`: what the server has of all sessions, and the faults there are; `own`: the overlays of `session`. Unless
   * a session was chosen, those of the server have the one switch that matters. */
  draw({ overlays: every, faults }, own, session, isChosen) {
    this.session = session;
    this.names = new Set([...every, ...own].map((one) => one.name));
    this.offer(faults);
    this.where.lastChild.textContent = `session ${session}`;
    const rows = merged(every, own);
    this.list.draw({ rows, session, isChosen }, () => (rows.length ? h("ul", { class: "lever-list" }, rows.map((row) => this.row(row, isChosen))) : nothing()));
    if (!this.yaml.value) this.compose();
  }

  // -- the list -----------------------------------------------------------------------------------------------------

  row({ overlay, every, own }, isChosen) {
    const { name, faults, chance, source } = overlay;
    return h("li", { class: "lever", "data-testid": "overlay", "data-name": name },
      h("div", { class: "lever-what" }, h("strong", {}, name), " ",
        h("span", { class: "tag", "data-tone": "fault" }, faults.join(", ") || "another pace"),
        h("p", { class: "quiet" }, `${often(chance)}${overlay.between ? ` · ${overlay.between.map((at) => `${at} s`).join(" to ")}` : ""} · ${overlay.added ? "added at run time" : source}`)),
      h("div", { class: "actions" },
        every ? this.toggle(every, "everywhere", {}, true) : null,
        own && (isChosen || !every) ? this.toggle(own, `session ${this.session}`, { session: this.session }, every?.on ?? true) : null,
        every?.added || own?.added ? button("Remove", () => this.remove(name, every?.added ? {} : { session: this.session }),
          { "data-key": `remove ${name}`, "data-testid": "overlay-remove", "aria-label": `Remove ${name}` }) : null));
  }

  toggle({ name, on }, label, query, isFree) {
    const turn = (event) => this.turn(() => put(`chaos/${encodeURIComponent(name)}`, { on: event.target.checked }, query));
    const box = h("input", { type: "checkbox", role: "switch", checked: on, disabled: !isFree, onchange: turn, "data-key": `${label} ${name}`, "data-testid": "overlay-switch", "aria-label": `${name}: ${label}` });
    return h("label", { class: "toggle", title: isFree ? null : "switched off everywhere" }, box, label);
  }

  remove(name, query) {
    return this.turn(() => call("DELETE", `chaos/${encodeURIComponent(name)}`, query));
  }

  // -- the form -----------------------------------------------------------------------------------------------------

  form() {
    const changed = () => this.compose();
    this.fault = h("select", { "data-testid": "chaos-fault", onchange: changed });
    this.chance = h("input", { type: "number", min: 0, max: 100, step: "any", placeholder: "100", "data-testid": "chaos-chance", oninput: changed });
    this.after = h("input", { type: "number", min: 0, step: 1, placeholder: "anywhere", "data-testid": "chaos-after", oninput: changed });
    this.where = h("select", { "data-testid": "chaos-where" }, h("option", { value: "" }, "every session"), h("option", { value: "session" }, "session default"));
    this.summary = h("p", { class: "quiet" });
    this.yaml = area("Overlay, as YAML", "chaos-yaml", "", ROWS);
    this.result = h("div", { role: "status", "aria-live": "polite" });
    const form = h("form", { class: "chaos-form", onsubmit: (event) => { event.preventDefault(); this.lay(); } },
      h("div", { class: "chaos-fields" }, field("Fault", this.fault), field("Chance in %", this.chance), field("After deltas", this.after), field("For", this.where)),
      this.summary,
      h("label", { class: "try-side" }, h("span", {}, "As YAML, to be changed at will"), this.yaml),
      this.result,
      h("div", { class: "actions" }, h("button", { type: "submit", class: "main", "data-testid": "chaos-lay" }, "Lay it over replies")));
    return h("details", { class: "chaos-add" }, h("summary", { "data-testid": "chaos-add" }, "Add an overlay"), form);
  }

  /** The faults to choose from, touched only when they are others. */
  offer(faults) {
    if (this.faults.length === faults.length) return;
    this.faults = faults;
    this.fault.replaceChildren(...faults.map((one) => h("option", { value: one.type }, one.type)));
    this.fault.value = "reset";
  }

  /** The YAML of what the fields say. */
  compose() {
    const fault = this.faults.find((one) => one.type === this.fault.value);
    if (!fault) return;
    this.after.disabled = !fault.after;
    this.summary.textContent = fault.summary;
    const keys = fault.needs.map((key) => `${key}: ${EXAMPLES[key] ?? "?"}`);
    if (fault.after && this.after.value !== "") keys.push(`after: {deltas: ${this.after.value}}`);
    const line = fault.type === "gate" ? `gate: {${keys.join(", ")}}` : keys.length ? `fault: {type: ${fault.type}, ${keys.join(", ")}}` : `fault: ${fault.type}`;
    this.yaml.value = [`name: ${this.newName(fault.type)}`, this.chance.value === "" ? null : `chance: ${this.chance.value}%`, line].filter(Boolean).join("\n") + "\n";
  }

  newName(type) {
    let at = 1;
    while (this.names.has(`${type}-${at}`)) at += 1;
    return `${type}-${at}`;
  }

  async lay() {
    try {
      const { added } = await postYaml("chaos", this.yaml.value, this.where.value ? { session: this.session } : {});
      this.result.replaceChildren();
      this.say(`Laid over replies: ${added.join(", ")}`);
      for (const name of added) this.names.add(name);
      this.compose();
      await this.turn(async () => {});
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.result.replaceChildren(...mistakes(error, (line) => goTo(this.yaml, line)));
    }
  }
}

function nothing() {
  return h("p", { class: "quiet" }, "Nothing is laid over replies. An overlay is a fault, a gate or a pace that strikes whatever scenario answers.");
}

function field(label, input) {
  return h("label", { class: "chaos-field" }, h("span", {}, label), input);
}

/** How often it strikes, in words. */
function often(chance) {
  return chance === 1 ? "every reply it is for" : `${+(chance * 100).toFixed(2)}% of the replies it is for`;
}

/** Overlays of the server and of the session by name: `every` and `own` are what each has of it. */
function merged(every, own) {
  const ofServer = new Map(every.map((one) => [one.name, one]));
  const ofSession = new Map(own.map((one) => [one.name, one]));
  const names = [...new Set([...ofServer.keys(), ...ofSession.keys()])];
  return names.map((name) => ({ overlay: ofServer.get(name) ?? ofSession.get(name), every: ofServer.get(name), own: ofSession.get(name) }));
}
