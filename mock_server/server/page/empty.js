// What stands where no request has come yet: how to point a client here.

import { copyButton, h } from "./dom.js";

export function empty() {
  const base = location.origin + document.querySelector("meta[name=base-path]").content;
  const exports = `export ANTHROPIC_BASE_URL=${base} ANTHROPIC_API_KEY=any`;
  const curl = [
    `curl ${base}/v1/messages -H 'content-type: application/json' -H 'x-api-key: any' \\`,
    `  -d '{"model": "claude-opus-4-8", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}'`,
  ].join("\n");
  return [
    h("h2", {}, "No requests yet"),
    h("p", {}, "They show up here as they come. Point a client at this server:"),
    snippet(exports),
    h("p", {}, "Or send one by hand:"),
    snippet(curl),
  ];
}

function snippet(text) {
  return h("div", { class: "snippet" }, h("pre", { class: "code" }, text), copyButton("Copy", text, { class: "small" }));
}
