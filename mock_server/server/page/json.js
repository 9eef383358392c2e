// JSON as people read it: indented, with colours for keys, texts and numbers.

import { copyButton, h, longText } from "./dom.js";

const LONGEST = 60000;  // characters; longer ones are shown plain
const WORD = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

export function pretty(value) {
  return JSON.stringify(value, null, 2) ?? "";
}

/** A `<pre>` of a value. */
export function json(value) {
  const text = pretty(value);
  if (text.length > LONGEST) return longText(text, { class: "code" });
  return h("pre", { class: "code" }, coloured(text));
}

/** The same with a heading and a button that copies it. */
export function jsonBlock(title, value) {
  return h("section", { class: "block" },
    h("header", {}, h("h4", {}, title), copyButton("Copy", () => pretty(value), { class: "small" })),
    json(value));
}

function coloured(text) {
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(WORD)) {
    const word = found[1] ?? found[0];
    parts.push(text.slice(done, found.index), h("span", { class: kind(found) }, word));
    done = found.index + word.length;
  }
  parts.push(text.slice(done));
  return parts;
}

function kind([, string, colon]) {
  if (colon) return "json-key";
  return string ? "json-text" : "json-value";
}
