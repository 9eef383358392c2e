// A field for YAML, and the mistakes the server found in it, each with its line.

import { button, h } from "./dom.js";

export function area(label, id, text, rows) {
  const made = h("textarea", { "aria-label": label, "data-testid": id, rows, spellcheck: "false", autocomplete: "off" });
  made.value = text;
  return made;
}

/** The caret at a line of a field, counted from 1. */
export function goTo(field, line) {
  const lines = field.value.split("\n");
  const at = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  field.focus();
  field.setSelectionRange(at, at + (lines[line - 1] ?? "").length);
}

/** What is wrong with the text, line by line; or what else went wrong. `show(line)` runs when a line is chosen. */
export function mistakes(error, show) {
  const problems = error.problems ?? [];
  if (!problems.length) return [h("p", { class: "hint", "data-tone": "warn", role: "alert" }, [error.message, error.hint].filter(Boolean).join(": "))];
  return [h("ul", { class: "mistakes", role: "alert", "data-testid": "mistakes" }, problems.map((problem) => {
    const place = /^[^:]*:(\d+):(\d+): (.*)$/s.exec(problem);
    return h("li", {}, place ? [button(`line ${place[1]}:${place[2]}`, () => show(Number(place[1])), { class: "link" }), ` ${place[3]}`] : problem);
  }))];
}
