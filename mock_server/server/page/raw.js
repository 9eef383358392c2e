// The exchange as it was on the wire: headers and bodies, both ways.

import { copyButton, h, longText, pairs } from "./dom.js";
import { status } from "./format.js";
import { jsonBlock } from "./json.js";

export function raw(entry) {
  const { request, reply } = entry;
  return h("div", { class: "raw" },
    h("h3", {}, `${entry.method} ${entry.path}`),
    headers("Request headers", request.headers),
    request.body === null ? rawBody(request.raw ?? "", request.cut ? "How the request body begins" : "Request body, not JSON") : jsonBlock("Request body", request.body),
    h("h3", {}, `Reply ${status(entry)}${entry.stream ? ", as a stream" : ""}`),
    headers("Reply headers", reply.headers),
    replyBody(entry));
}

function headers(title, values) {
  return h("section", { class: "block" }, h("header", {}, h("h4", {}, title)), pairs(Object.entries(values), { class: "pairs code" }));
}

function rawBody(text, title) {
  return h("section", { class: "block" },
    h("header", {}, h("h4", {}, title), copyButton("Copy", text, { class: "small" })),
    longText(text, { class: "code" }));
}

function replyBody(entry) {
  if (entry.reply.body === null) return h("p", { class: "hint" }, "The reply is under way…");
  return jsonBlock(entry.stream ? "Reply body, the events put together" : "Reply body", entry.reply.body);
}
