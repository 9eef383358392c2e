// The journal page: makes the parts and lets them hear of one another. The address says what is shown.

import { ApiError, call, get, whenTokenIsWanted } from "./api.js";
import { Detail } from "./detail.js";
import { askToken, confirmReset, showKeys } from "./dialogs.js";
import { byId } from "./dom.js";
import { empty } from "./empty.js";
import { Filters } from "./filters.js";
import { Journal, ROWS, asQuery } from "./journal.js";
import { listenToKeys } from "./keys.js";
import { Levers } from "./levers.js";
import { List } from "./list.js";
import { Live } from "./live.js";
import { FILTERS, Route } from "./route.js";
import { Scenarios } from "./scenarios.js";
import { atMostEvery, whenCalm } from "./timing.js";
import { tryIt } from "./tryit.js";

const journal = new Journal();
const route = new Route(moved);
const list = new List(journal, open);
const filters = new Filters((changes) => route.go(changes, { step: false }));
const detail = new Detail(byId("detail"), {
  close, open, say,
  tab: (tab) => route.go({ tab }, { step: false }),
  scenario: (name) => route.go({ view: "scenarios", source: name }),
  levers: () => route.go({ view: "levers" }),
  newest: () => journal.newest,
});
const scenarios = new Scenarios(byId("scenarios"), {
  source: (source) => route.go({ source }, { step: route.place.source === "" }),
  requests: (scenario) => route.go({ view: "journal", scenario, text: "", outcome: "", entry: null }),
  known: (names) => filters.offer("scenario", names),
});
const levers = new Levers(byId("levers"), { session: (session) => route.go({ session }), state: showLevers, say });
const live = new Live({
  state: showState,
  open: startOver,
  entry: came,
  skipped(number) {
    journal.skipped(number);
    list.changed();
    refillWhenCalm();
  },
  scenarios() {
    loadScenarios();
    loadLevers();
  },
  levers: () => loadLevers(),
  reset: startOver,
  refused(error) {
    say(error.status === 401 ? `${error.message}: reload the page to enter it` : error.message);
    if (error.status === 404) route.go({ session: "" }, { step: false });
    else showState("refused");
  },
});

// -- what the server sends ------------------------------------------------------------------------------------------

const sessions = new Set();
const loadSessions = atMostEvery(1000, quietly(async () => {
  const names = (await get("sessions")).sessions.map((one) => one.name);
  for (const name of names) sessions.add(name);
  filters.offer("session", names);
}));
const loadScenarios = atMostEvery(1000, quietly(() => scenarios.load()));
const loadLevers = atMostEvery(300, quietly(() => levers.load()));
const countCalls = atMostEvery(2000, () => {
  if (route.place.view === "scenarios") loadScenarios();
  if (route.place.view === "levers") loadLevers();
});
const refillWhenCalm = whenCalm(1500, () => refill());
const searchAgain = atMostEvery(2000, () => refill());

function came(summary) {
  journal.put(summary);
  list.changed();
  detail.heard(summary);
  countCalls();
  if (journal.filter.text) searchAgain();
  if (!sessions.has(summary.session)) {
    sessions.add(summary.session);
    loadSessions();
  }
}

/** The stream is (again) there, or the journal was cleared: what was held may be gone. */
function startOver() {
  journal.clear();
  list.isLoaded = false;
  loadSessions();
  loadScenarios();
  loadLevers();
  detail.again();
  return refill();
}

let refills = 0;

/** Ask for the newest entries that pass the filter: older ones, those the stream left out, those found in whole bodies. */
async function refill() {
  refills += 1;
  const mine = refills;
  await quietly(async () => {
    const page = await get("journal", { ...asQuery(journal.filter), limit: ROWS });
    if (mine !== refills) return;
    journal.merge(page);
    list.isLoaded = true;
    list.changed();
  })();
}

/** Without a connection the page waits, and says so elsewhere; other refusals are shown in passing. */
function quietly(run) {
  return async () => {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== 0) say(error.message);
    }
  };
}

function showState(state) {
  const shown = byId("live");
  if (shown.dataset.state === state) return;
  shown.dataset.state = state;
  shown.textContent = state;
}

/** What holds replies is shown on every view: a page on which nothing goes on should say why. */
function showLevers(text) {
  const shown = byId("levers-state");
  if (shown.textContent !== text) shown.textContent = text;
}

// -- where the page is ----------------------------------------------------------------------------------------------

function moved(place, before = {}) {
  showView(place);
  filters.show(place);
  detail.show(place.entry, place.tab);
  list.select(place.entry);
  if (before.source !== place.source) quietly(() => scenarios.show(place.source))();
  if (FILTERS.some((name) => before[name] !== place[name])) filter(place, before);
  if (place.view === before.view) return;
  levers.show(place.view === "levers");
  if (place.view === "scenarios") loadScenarios();
  if (place.view === "levers") loadLevers();
}

function showView({ view, entry, source }) {
  for (const name of ["journal", "scenarios", "levers"]) {
    byId(name).hidden = view !== name;
    byId(`show-${name}`).setAttribute("aria-pressed", String(view === name));
  }
  byId("journal").classList.toggle("has-detail", entry !== null);
  byId("scenarios").classList.toggle("has-detail", source !== "");
}

function filter(place, before) {
  journal.filter = Object.fromEntries(FILTERS.map((name) => [name, place[name]]));
  journal.found = new Set();
  scenarios.session = place.session;
  levers.session = place.session;
  list.changed();
  if (before.session !== place.session) live.connect(place.session);
  else refill();
}

function open(number) {
  route.go({ view: "journal", entry: number }, { step: route.place.entry === null });
}

function close() {
  const { entry } = route.place;
  route.go({ entry: null, tab: "" }, { step: false });
  list.focus(entry);
}

// -- what people do -------------------------------------------------------------------------------------------------

function move(by) {
  if (route.place.view === "levers") return;
  if (route.place.view === "scenarios") return moveScenario(by);
  const number = list.beside(by);
  if (number === null) return;
  if (route.place.entry !== null) open(number);
  list.focus(number);
  list.drawSelected();
}

function moveScenario(by) {
  const source = scenarios.beside(by);
  if (source) route.go({ source }, { step: route.place.source === "" });
}

function enter() {
  const number = list.focused();
  if (number === null) return;
  open(number);
  byId("detail").focus();
}

function leave() {
  const { view, source, entry } = route.place;
  if (view === "levers") route.go({ view: "journal" }, { step: false });
  else if (view === "scenarios") route.go(source ? { source: "" } : { view: "journal" }, { step: false });
  else if (entry !== null) close();
}

function pause() {
  const isPaused = list.pause();
  const shown = byId("pause");
  shown.setAttribute("aria-pressed", String(isPaused));
  shown.textContent = isPaused ? "Paused" : "Pause";
}

async function reset() {
  const { session } = route.place;
  if (!await confirmReset(session)) return;
  await quietly(async () => {
    await call("POST", "reset", session ? { session } : { all: "true" });
    route.go({ entry: null, tab: "" }, { step: false });
    await startOver();
  })();
}

let toastTimer = null;

function say(text) {
  const toast = byId("toast");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { toast.hidden = true; }, 5000);
}

/** The box to try things in, with the request that is open. */
function tryOut() {
  tryIt({ request: detail.entry?.request?.body ?? null, session: route.place.session });
}

// -- start ----------------------------------------------------------------------------------------------------------

whenTokenIsWanted(askToken);
listenToKeys({ move, enter, leave, pause, tryOut, levers: () => route.go({ view: "levers" }), help: showKeys, filter: () => byId("filter-text").focus() });
byId("empty").append(...empty());
loadScenarios();
byId("show-journal").addEventListener("click", () => route.go({ view: "journal" }));
byId("show-scenarios").addEventListener("click", () => route.go({ view: "scenarios" }));
byId("show-levers").addEventListener("click", () => route.go({ view: "levers" }));
byId("show-keys").addEventListener("click", showKeys);
byId("try-it").addEventListener("click", tryOut);
byId("pause").addEventListener("click", pause);
byId("reset").addEventListener("click", reset);
byId("session").addEventListener("pointerdown", loadSessions);
moved(route.place);
