// The box to try things in: a scenario's text and what it would send, a request and what would answer it. Nothing is noted.

import { post } from "./api.js";
import { button, byId, h } from "./dom.js";
import { area, goTo, mistakes } from "./editor.js";
import { json } from "./json.js";

const EXAMPLE = `name: my-scenario
when: {prompt: weather}
turns:
  - reply:
      - Let me look.
      - {type: tool_use, name: get_weather, input: {city: Paris}}
  - reply: It is sunny in Paris.
`;
const REQUEST = { model: "claude-opus-4-8", max_tokens: 1024, stream: true, messages: [{ role: "user", content: "What is the weather?" }] };
const SHOWN = 120;  // characters of an event's data

/** Opens the box. `request`: the body to begin with; `session`: where scenarios are looked up. */
export function tryIt({ request = null, session = "" } = {}) {
  const dialog = byId("dialog");
  if (dialog.open) dialog.close("");
  const box = new Box(session, request);
  dialog.replaceChildren(box.element);
  dialog.returnValue = "";
  dialog.classList.add("wide");
  dialog.addEventListener("close", () => dialog.classList.remove("wide"), { once: true });
  dialog.showModal();
  box.yaml.focus();
}

class Box {
  constructor(session, request) {
    this.session = session;
    this.yaml = area("Scenario, as YAML", "try-yaml", EXAMPLE, 12);
    this.request = area("Request, as JSON", "try-request", JSON.stringify(request ?? REQUEST, null, 2), 12);
    this.sends = h("input", { type: "checkbox", "data-testid": "try-with-request", checked: request !== null });
    this.result = h("div", { class: "try-result", role: "status", "aria-live": "polite", "data-testid": "try-result" });
    this.element = h("form", { class: "try", onsubmit: (event) => { event.preventDefault(); this.preview(); }, onkeydown: (event) => this.key(event) },
      h("h2", { id: "dialog-title" }, "Try it"),
      h("div", { class: "try-sides" },
        h("label", { class: "try-side" }, h("span", {}, "Scenario (YAML)"), this.yaml),
        h("label", { class: "try-side" }, h("span", {}, "Request (JSON)"), this.request)),
      h("div", { class: "actions" },
        h("label", { class: "field" }, this.sends, " preview this request only"),
        button("Explain", () => this.explain(), { "data-testid": "try-explain", title: "Which loaded scenario answers the request" }),
        button("Close", () => byId("dialog").close("")),
        h("button", { type: "submit", class: "main", "data-testid": "try-preview" }, "Preview")),
      this.result);
  }

  key(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.preview();
  }

  preview() {
    return this.ask("preview", () => ({ yaml: this.yaml.value, request: this.sends.checked ? this.body() : null }),
      (answer) => answer.exchanges.map(exchange));
  }

  explain() {
    return this.ask("explain", () => ({ request: this.body() }), explanation);
  }

  async ask(route, body, shown) {
    try {
      this.show(shown(await post(route, body(), { session: this.session })));
    } catch (error) {
      this.show(mistakes(error, (line) => goTo(this.yaml, line)));
    }
  }

  body() {
    try {
      return JSON.parse(this.request.value);
    } catch (error) {
      throw new Error(`The request is not JSON: ${error.message}`);
    }
  }

  show(...content) {
    this.result.replaceChildren(...content.flat());
  }
}

function exchange(one) {
  const what = one.scenario ? `${one.scenario}, turn ${one.turn}${one.attempt > 1 ? `, attempt ${one.attempt}` : ""}` : "not matched";
  return h("section", { class: "block", "data-testid": "try-exchange" },
    h("h3", {}, `${what} → ${one.status}`),
    one.note ? h("p", { class: "note" }, one.note) : null,
    against(one.contradictions),
    one.stream ? timeline(one.frames) : null,
    h("details", {}, h("summary", {}, "The reply as JSON"), json(one.reply)),
    h("details", {}, h("summary", {}, "The request"), json(one.request)));
}

function timeline(frames) {
  const rows = frames.map((frame) => {
    const [, name = "", data = ""] = /^event: (.*)\ndata: (.*)\n/.exec(frame.text) ?? [];
    return h("tr", {}, h("td", { class: "number" }, `${frame.at_ms.toFixed(0)} ms`), h("td", {}, name),
      h("td", { class: "try-data" }, data.length > SHOWN ? h("details", {}, h("summary", {}, `${data.slice(0, SHOWN)}…`), data) : data));
  });
  return h("table", { class: "try-timeline", "data-testid": "try-timeline" }, h("tbody", {}, rows));
}

function explanation(found) {
  const error = found.error ? h("p", { class: "note", "data-tone": "warn" }, `The API refuses this request: ${found.error.status} ${found.error.type}: ${found.error.message}`) : null;
  if (found.matched) {
    return [error, h("section", { class: "block", "data-testid": "try-match" },
      h("h3", {}, `${found.scenario}: turn ${found.turn} of ${found.turns}`),
      h("ul", {}, found.conditions.map((one) => h("li", {}, one)),
        Object.entries(found.captures).map(([name, text]) => h("li", {}, `captures ${name} = ${text}`)),
        found.differences.map(miss)),
      against(found.contradictions))].filter(Boolean);
  }
  return [error, h("p", { class: "hint" }, "No scenario matches this request."),
    ...found.near_misses.map((near) => h("section", { class: "block", "data-testid": "try-near" },
      h("h3", {}, `${near.scenario}, ${Math.round(100 * (1 - near.distance))}% near`), h("ul", {}, near.misses.map(miss))))].filter(Boolean);
}

/** What a reply does against its request. */
function against(contradictions) {
  return contradictions.map((one) => h("p", { class: "note", "data-tone": "warn", "data-testid": "try-contradiction" }, one));
}

function miss(one) {
  return h("li", {}, `${one.condition}: wanted ${one.wanted}, got ${one.got}`);
}
