// One exchange as a chat: the system prompt, the messages that were sent, and the reply that came back.

import { h, longText } from "./dom.js";
import { duration, several } from "./format.js";
import { json } from "./json.js";

const SETTINGS = ["max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "tool_choice", "thinking", "stream", "service_tier"];
const SPEAKERS = { user: "human", assistant: "assistant", system: "system" };

export function chat(entry) {
  const body = entry.request.body;
  const messages = body === null ? [notJson(entry.request)] : conversation(body);
  return h("div", { class: "chat" }, messages, reply(entry));
}

function conversation(body) {
  const messages = Array.isArray(body.messages) ? body.messages : [];
  return [
    settings(body),
    body.system ? bubble("system", body.system) : null,
    tools(body.tools),
    messages.map((message) => bubble(message?.role, message?.content)),
  ];
}

function notJson({ raw, cut }) {
  const what = cut ? "request, too large to be shown" : "request, not JSON";
  return h("article", { class: "bubble from-system" }, speaker(what), longText(raw ?? ""));
}

function settings(body) {
  const settings = SETTINGS.filter((name) => name in body).map((name) => {
    const value = body[name];
    return h("li", {}, h("span", { class: "quiet" }, `${name} `), typeof value === "string" ? value : JSON.stringify(value));
  });
  return settings.length ? h("ul", { class: "settings" }, settings) : null;
}

function tools(offered) {
  if (!Array.isArray(offered) || !offered.length) return null;
  const names = offered.map((tool) => tool?.name ?? tool?.type ?? "?").join(", ");
  return fold(`${several(offered.length, "tool")} offered: ${names}`, json(offered));
}

// -- the reply ------------------------------------------------------------------------------------------------------

function reply(entry) {
  const { body } = entry.reply;
  if (!body) return h("p", { class: "hint" }, "The reply is under way…");
  if (body.type === "error") return failure(entry, body.error ?? {});
  if (!Array.isArray(body.content)) return h("article", { class: "bubble from-assistant" }, speaker("reply"), json(body));
  const left = entry.left_ms === null ? null
    : h("p", { class: "note", "data-tone": "warn" }, `The client left after ${duration(entry.left_ms)}; below is what the whole reply would have been.`);
  const faults = entry.left_ms === null && entry.faults.length
    ? h("p", { class: "note" }, `The reply without its faults (${entry.faults.join(", ")}); the timeline shows what was sent.`) : null;
  const content = body.content.length ? body.content : "";
  return [left, faults, bubble("assistant", content, "reply", stop(body))];
}

function failure(entry, error) {
  return h("article", { class: "bubble from-assistant", "data-tone": "bad" },
    speaker("reply", `${entry.status ?? ""} ${error.type ?? "error"}`),
    longText(String(error.message ?? ""), { class: "prose" }));
}

function stop(body) {
  const sequence = body.stop_sequence ? ` “${body.stop_sequence}”` : "";
  return body.stop_reason ? `stop_reason: ${body.stop_reason}${sequence}` : "";
}

// -- messages and their blocks --------------------------------------------------------------------------------------

function bubble(role, content, label = SPEAKERS[role] ?? String(role), aside = "") {
  const side = role === "assistant" || role === "system" ? role : "human";
  return h("article", { class: `bubble from-${side}` }, speaker(label, aside), blocks(content));
}

function speaker(label, aside = "") {
  return h("header", { class: "speaker" }, label, aside ? h("span", { class: "aside" }, aside) : null);
}

function blocks(content) {
  if (typeof content === "string") return content ? prose(content) : h("p", { class: "quiet" }, "(no content)");
  if (!Array.isArray(content)) return json(content ?? null);
  return content.map(block);
}

function prose(text) {
  return longText(text, { class: "prose" });
}

function block(one) {
  const type = one?.type ?? "";
  if (type === "text") return prose(String(one.text ?? ""));
  if (type === "thinking") return fold("Thinking", prose(one.thinking || "(empty: only the signature was sent)"), "thinking");
  if (type === "redacted_thinking") return placeholder(`Redacted thinking, ${several(size(one.data), "character")}`);
  if (type === "image" || type === "document") return placeholder(media(one));
  if (type === "tool_use" || type.endsWith("_tool_use")) return toolUse(one);
  if (type === "tool_result" || type.endsWith("_tool_result")) return toolResult(one);
  return h("div", { class: "card" }, cardTitle(type || "block"), json(one));
}

function toolUse(one) {
  return h("div", { class: "card tool-use" }, cardTitle(String(one.name), one.type, one.id), json(one.input ?? {}));
}

function toolResult(one) {
  const isError = one.is_error === true || String(one.content?.type ?? "").endsWith("_error");
  return h("div", { class: "card tool-result", "data-tone": isError ? "bad" : null },
    cardTitle(isError ? "Error" : "Result", one.type, one.tool_use_id),
    blocks(one.content ?? ""));
}

function cardTitle(name, type = "", id = "") {
  return h("header", {}, h("strong", {}, name), type ? h("span", { class: "tag" }, type) : null, id ? h("code", { class: "quiet" }, id) : null);
}

function media({ type, title, source = {} }) {
  const kind = type === "image" ? "Image" : "Document";
  const from = { base64: `${several(Math.round(size(source.data) * 0.75), "byte")}`, url: source.url, file: `file ${source.file_id}` }[source.type];
  return [kind, title, source.media_type, from].filter(Boolean).join(" · ");
}

function size(data) {
  return typeof data === "string" ? data.length : 0;
}

function placeholder(text) {
  return h("p", { class: "placeholder" }, text);
}

function fold(title, content, kind = "") {
  return h("details", { class: `fold ${kind}` }, h("summary", {}, title), content);
}
