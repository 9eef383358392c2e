// Making elements. The texts of users and scenarios go in as text nodes: nothing on this page is parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `attributes`: also `class`, and `onevent` listeners; false, null and undefined are left out. */
export function h(tag, attributes = {}, ...children) {
  return dressed(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return dressed(document.createElementNS(SVG, tag), attributes, children);
}

function dressed(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  return fill(element, children);
}

/** Puts children behind those an element has, lists of them too; what is nothing (null, false) is left out. */
export function fill(element, children) {
  element.append(...children.flat(Infinity).filter(isShown));
  return element;
}

function isShown(child) {
  return child !== null && child !== undefined && child !== false;
}

export function byId(id) {
  return document.getElementById(id);
}

export function button(label, onclick, attributes = {}) {
  return h("button", { type: "button", onclick, ...attributes }, label);
}

/** A button that puts a text on the clipboard; `text` may be a function. */
export function copyButton(label, text, attributes = {}) {
  const made = button(label, async () => {
    const done = await copy(typeof text === "function" ? text() : text);
    flash(made, done ? "Copied" : "Not copied");
  }, attributes);
  return made;
}

function flash(made, text) {
  const label = made.dataset.label ?? made.textContent;
  made.dataset.label = label;
  made.textContent = text;
  clearTimeout(made.flashing);
  made.flashing = setTimeout(() => { made.textContent = label; }, 1200);
}

/** Whether the text is on the clipboard. The old way serves origins that are not secure, such as a container's address. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOldWay(text);
  }
}

function copyOldWay(text) {
  const field = h("textarea", { class: "off-screen", readonly: true });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

/** A `<pre>` of a text; a very long one is cut, with a button for the rest. */
export function longText(text, attributes = {}, limit = 6000) {
  const shown = h("pre", attributes);
  if (text.length <= limit) {
    shown.textContent = text;
    return shown;
  }
  const more = button(`Show all ${text.length.toLocaleString("en")} characters`, () => {
    shown.textContent = text;
    more.remove();
  }, { class: "link" });
  shown.textContent = text.slice(0, limit) + "…";
  return h("div", {}, shown, more);
}

/** Two columns: names and values. */
export function pairs(entries, attributes = {}) {
  return h("dl", { class: "pairs", ...attributes }, entries.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
