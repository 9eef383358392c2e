// The place the page shows, kept in the address after the `#`: #entry=12&tab=raw&text=paris, #scenarios=hello, #levers.

const NOWHERE = { view: "journal", entry: null, tab: "", source: "", session: "", scenario: "", outcome: "", text: "" };
export const FILTERS = ["session", "scenario", "outcome", "text"];

export function parse(hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const place = { ...NOWHERE };
  for (const name of ["tab", ...FILTERS]) place[name] = said.get(name) ?? "";
  if (said.has("scenarios")) {
    place.view = "scenarios";
    place.source = said.get("scenarios");
  }
  if (said.has("levers")) place.view = "levers";
  if (/^\d{1,15}$/.test(said.get("entry") ?? "")) place.entry = Number(said.get("entry"));
  return place;
}

export function format(place) {
  const said = new URLSearchParams();
  if (place.view === "scenarios") said.set("scenarios", place.source);
  if (place.view === "levers") said.set("levers", "");
  if (place.entry !== null) said.set("entry", place.entry);
  for (const name of ["tab", ...FILTERS]) if (place[name]) said.set(name, place[name]);
  return "#" + said.toString().replace(/^(scenarios|levers)=(?=&|$)/, "$1");
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
