// Questions and help, each in the one <dialog> of the page.

import { button, byId, h } from "./dom.js";

const KEYS = [
  ["j  ↓", "next request"],
  ["k  ↑", "previous request"],
  ["Enter", "open it"],
  ["Esc", "close it"],
  ["/", "filter"],
  ["p", "hold the list still, or let it go on"],
  ["←  →", "between tabs, or events of the timeline"],
  ["l", "levers: the clock, the gates, the chaos"],
  ["t", "try a scenario or a request"],
  ["?", "this help"],
];

/** Shows a dialog. Gives the value of the button that closed it; "" for Escape. */
function ask(title, content, buttons) {
  const dialog = byId("dialog");
  if (dialog.open) dialog.close("");
  const form = h("form", { onsubmit: (event) => { event.preventDefault(); dialog.close(buttons.at(-1)[0]); } },
    h("h2", { id: "dialog-title" }, title), content,
    h("div", { class: "actions" }, buttons.map(([value, label, kind], at) => choice(dialog, value, label, kind, at === buttons.length - 1))));
  dialog.replaceChildren(form);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => { dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }); });
}

function choice(dialog, value, label, kind, isMain) {
  return button(label, isMain ? () => {} : () => dialog.close(value), { class: kind, type: isMain ? "submit" : "button", "data-testid": `dialog-${value || "cancel"}` });
}

/** Whether to reset one session, or all (""). */
export async function confirmReset(session) {
  const what = session ? `the session “${session}”` : "all sessions";
  const text = `The journal of ${what}, its counters, and scenarios that were added at run time will be gone; its gates let go what they hold, its clock tells real time. Scenario files stay.`;
  return await ask(`Reset ${what}?`, h("p", {}, text), [["", "Cancel", ""], ["reset", "Reset", "danger"]]) === "reset";
}

/** A token a person typed, or null. `again`: the one before was refused. */
export async function askToken(again) {
  const field = h("input", { type: "password", autocomplete: "off", "aria-label": "Token", autofocus: true, "data-testid": "token" });
  const content = [
    h("p", {}, again ? "This token was refused." : "This server is open to the network, so its journal needs a token: MOCK_SERVER_CONTROL_TOKEN of the server."),
    h("p", { class: "quiet" }, "It is kept until this browser tab is closed."),
    field,
  ];
  const choice = await ask("Token", content, [["", "Cancel", ""], ["ok", "Use it", "main"]]);
  return choice === "ok" && field.value.trim() ? field.value.trim() : null;
}

export function showKeys() {
  const rows = KEYS.map(([keys, what]) => h("tr", {}, h("td", {}, keys.split("  ").map((key) => h("kbd", {}, key))), h("td", {}, what)));
  return ask("Keys", h("table", { class: "keys" }, h("tbody", {}, rows)), [["ok", "Close", ""]]);
}
