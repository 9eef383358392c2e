// The place the page shows, kept in the address after the `#`: #entry=12&tab=raw&text=paris, #scenarios=hello, #levers.

const NOWHERE = { view: "journal", entry: null, tab: "", source: "", session: "", scenario: "", outcome: "", text: "" };
export const FILTERS = ["session", "scenario", "outcome", "text"];

export function parse(hash) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const place = { ...NOWHERE };
  for (const name of ["tab", ...FILTERS]) place[name] = parameters.get(name) ?? "";
  if (parameters.has("scenarios")) {
    place.view = "scenarios";
    place.source = parameters.get("scenarios");
  }
  if (parameters.has("levers")) place.view = "levers";
  if (/^\d{1,15}$/.test(parameters.get("entry") ?? "")) place.entry = Number(parameters.get("entry"));
  return place;
}

export function format(place) {
  const parameters = new URLSearchParams();
  if (place.view === "scenarios") parameters.set("scenarios", place.source);
  if (place.view === "levers") parameters.set("levers", "");
  if (place.entry !== null) parameters.set("entry", place.entry);
  for (const name of ["tab", ...FILTERS]) if (place[name]) parameters.set(name, place[name]);
  return "#" + parameters.toString().replace(/^(scenarios|levers)=(?=&|$)/, "$1");
}

/** Keeps `place` and the address the same. `changed(place, before)` runs after either moved. */
export class Route {
  constructor(changed) {
    this.place = parse(location.hash);
    this.changed = changed;
    for (const event of ["popstate", "hashchange"]) addEventListener(event, () => this.moved(parse(location.hash)));
  }

  /** Go somewhere. What opens a view makes a step to come back from; what only changes it (`step: false`) does not. */
  go(changes, { step = true } = {}) {
    const next = { ...this.place, ...changes };
    const hash = format(next);
    if (hash === format(this.place)) return;
    history[step ? "pushState" : "replaceState"](null, "", hash);
    this.moved(next);
  }

  moved(next) {
    const before = this.place;
    if (format(next) === format(before)) return;
    this.place = next;
    this.changed(next, before);
  }
}
