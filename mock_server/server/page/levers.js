// What is turned while replies are under way: the clock, the gates, the states, and the chaos that lies over them.

import { ApiError, get, post, put } from "./api.js";
import { Chaos } from "./chaos.js";
import { button, h } from "./dom.js";
import { date, several } from "./format.js";
import { section } from "./section.js";

const STEPS = [["+1 s", 1], ["+1 min", 60], ["+1 h", 3600]];
const TICK = 1000;

export class Levers {
  /** `actions`: functions `session(name)`, `state(text)` (what holds replies now, in a few words), `say(text)`. */
  constructor(root, actions) {
    this.actions = actions;
    this.session = "";
    this.ahead = null;  // of this browser's clock, in ms; null while the session's stands still
    this.loads = 0;
    this.isShown = false;
    this.turn = (run) => turned(run, () => this.load(), actions.say);
    this.clock = section("Clock", "clock");
    this.gates = section("Gates", "gates");
    this.states = section("States", "states");
    this.chaos = new Chaos(this.turn, actions.say);
    this.elsewhere = h("p", { class: "hint elsewhere", "data-testid": "elsewhere", hidden: true });
    root.append(h("section", { class: "pane list-pane levers-pane", "aria-label": "Levers" },
      h("div", { class: "scroller" }, this.elsewhere, h("div", { class: "levers" },
        h("div", { class: "levers-column" }, this.clock.element, this.gates.element, this.states.element), h("div", { class: "levers-column" }, this.chaos.element)))));
  }

  /** Whether it is seen: only then the clock ticks. */
  show(isShown) {
    this.isShown = isShown;
    clearInterval(this.ticking);
    if (isShown) this.ticking = setInterval(() => this.tick(), TICK);
  }

  /** The session that is turned: the one that is chosen, else the default one. */
  get name() {
    return this.session || "default";
  }

  /** Out of sight, only what is shown on every view. */
  async load() {
    this.loads += 1;
    const mine = this.loads;
    const { session, name, isShown } = this;
    const [{ sessions }, ...seen] = await Promise.all([get("sessions"), ...(isShown ? controlsOf(name) : [])]);
    if (mine !== this.loads) return;
    this.drawState(sessions.filter((one) => !session || one.name === session));
    this.drawElsewhere(sessions.filter((one) => one.name !== name && (one.held || one.clock.frozen)));
    if (isShown) this.drawAll(seen);
  }

  drawAll([clock, gates, states, every, own]) {
    const { session, name } = this;
    this.drawClock(clock);
    this.gates.draw({ ...gates, name }, () => this.gatesShown(gates.gates, name));
    this.states.draw({ ...states, name }, () => this.statesShown(states.states, name));
    this.chaos.draw(every, own.overlays, name, session !== "");
  }

  drawState(sessions) {
    const held = sessions.reduce((sum, one) => sum + one.held, 0);
    const isFrozen = sessions.some((one) => one.clock.frozen);
    this.actions.state([held ? `${held} held` : "", isFrozen ? "frozen" : ""].filter(Boolean).join(", "));
  }

  /** Who looks at one session would not see why another stands still. */
  drawElsewhere(sessions) {
    this.elsewhere.hidden = sessions.length === 0;
    this.elsewhere.replaceChildren("Elsewhere: ", ...sessions.slice(0, 5).flatMap((one) => [
      button(`session ${one.name}`, () => this.actions.session(one.name), { class: "link" }),
      ` ${[one.held ? `holds ${several(one.held, "reply", "replies")}` : "", one.clock.frozen ? "is frozen" : ""].filter(Boolean).join(" and ")} `]));
  }

  // -- clock --------------------------------------------------------------------------------------------------------

  /** The buttons of a clock that goes on are not drawn anew for the time alone. */
  drawClock(clock) {
    this.ahead = clock.frozen ? null : clock.unix * 1000 - Date.now();
    this.clock.draw({ ...clock, unix: clock.frozen ? clock.unix : null }, () => this.clockShown(clock));
    this.tick();
  }

  clockShown({ unix, frozen, session }) {
    this.time = h("time", { class: "clock-time", "data-testid": "clock-time" }, date(unix));
    const turn = (how) => this.turn(() => post("clock", how, { session }));
    return [
      h("p", { class: "quiet" }, `of session ${session}: cache, rate limits and the pace of replies go by it`),
      h("p", {}, this.time, h("span", { class: "tag", "data-tone": frozen ? "warn" : null, "data-testid": "clock-state" }, frozen ? "stands still" : "goes on")),
      h("div", { class: "actions" },
        frozen ? button("Resume", () => turn({ resume: true }), { "data-key": "clock", "data-testid": "clock-resume" })
          : button("Freeze", () => turn({ freeze: true }), { "data-key": "clock", "data-testid": "clock-freeze" }),
        STEPS.map(([label, seconds]) => button(label, () => turn({ advance: seconds }),
          { "data-key": label, "data-testid": `clock-${seconds}`, "aria-label": `Advance the clock by ${label.slice(1)}` }))),
    ];
  }

  tick() {
    if (this.ahead !== null && this.time) this.time.textContent = date((Date.now() + this.ahead) / 1000);
  }

  // -- gates --------------------------------------------------------------------------------------------------------

  gatesShown(gates, session) {
    if (!gates.length) {
      return h("p", { class: "quiet" }, "No reply of this session has come to a gate. ", h("code", {}, "gate: NAME"), " in a scenario, or an overlay, holds replies until they are let through here.");
    }
    return h("ul", { class: "lever-list" }, gates.map((one) => this.gate(one, session)));
  }

  gate({ name, waiting, open, permits, passed }, session) {
    const turn = (how) => this.turn(() => post(`gates/${encodeURIComponent(name)}`, how, { session }));
    const one = (label, how, key) => button(label, () => turn(how), { "data-key": `${key === "one" ? "one" : "turn"} ${name}`, "data-testid": `gate-${key}`, "aria-label": `${label}: gate ${name}` });
    return h("li", { class: "lever", "data-testid": "gate" },
      h("div", { class: "lever-what" }, h("strong", {}, name), " ",
        h("span", { class: "tag", "data-tone": waiting ? "warn" : null }, waiting ? `holds ${several(waiting, "reply", "replies")}` : "holds none"),
        h("p", { class: "quiet" }, [open ? "open" : "shut", permits ? `${permits} more may pass` : "", `${passed} passed`].filter(Boolean).join(" · "))),
      h("div", { class: "actions" }, open ? one("Shut", { shut: true }, "shut") : [one("Let one through", { times: 1 }, "one"), one("Open", {}, "open")]));
  }

  // -- states -------------------------------------------------------------------------------------------------------

  statesShown(states, session) {
    if (!states.length) {
      return h("p", { class: "quiet" }, "No scenario of this session has states. ", h("code", {}, "states: {service: [up, down]}"), " at the top of a file declares one; answers move it, and it can be set here.");
    }
    return h("ul", { class: "lever-list" }, states.map((one) => this.state(one, session)));
  }

  state({ name, value, values, initial }, session) {
    const turn = (event) => this.turn(() => put("states", { [name]: event.target.value }, { session }));
    const choice = h("select", { "data-key": `state ${name}`, "data-testid": "state-value", "aria-label": `State ${name}`, onchange: turn },
      values.map((one) => h("option", { value: one, selected: one === value }, one)));
    return h("li", { class: "lever", "data-testid": "state", "data-name": name },
      h("div", { class: "lever-what" }, h("strong", {}, name), " ", h("span", { class: "tag", "data-tone": value === initial ? null : "warn" }, value),
        h("p", { class: "quiet" }, `at first ${initial}`)),
      h("div", { class: "actions" }, choice));
  }
}

/** What is shown of a session. */
function controlsOf(session) {
  return [get("clock", { session }), get("gates", { session }), get("states", { session }), get("chaos"), get("chaos", { session })];
}

/** Do it, show what came of it, and say what went wrong. */
async function turned(run, load, say) {
  try {
    await run();
    await load();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say([error.message, error.hint].filter(Boolean).join(": "));
  }
}
