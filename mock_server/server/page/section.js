// A titled block that is drawn again and again while a person works in it.

import { h } from "./dom.js";

/** It is drawn again only when what it shows is another; the focus stays on its button. */
export function section(title, id) {
  const body = h("div", { class: "lever-body" });
  let drawn = "";
  return {
    element: h("section", { class: "block", "aria-labelledby": `title-${id}`, "data-testid": id }, h("header", {}, h("h3", { id: `title-${id}` }, title)), body),
    draw(shown, content) {
      const text = JSON.stringify(shown);
      if (text === drawn) return;
      drawn = text;
      const key = body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      body.replaceChildren(...[content()].flat());
      if (key) (Array.from(body.querySelectorAll("[data-key]")).find((one) => one.dataset.key === key) ?? body.querySelector("[data-key]"))?.focus();
    },
  };
}
