// The keyboard: which key does what, and where it does not.

/** `actions`: functions `move(by)`, `enter()`, `leave()`, `filter()`, `pause()`, `tryOut()`, `levers()`, `help()`. */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("dialog")) return;
    const act = isTyping(event.target) ? whileTyping(event, actions) : meaning(event, actions);
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function isTyping(target) {
  return Boolean(target.closest("input:not([type=checkbox]), select, textarea"));
}

function whileTyping({ key, target }, { move }) {
  if (target.type !== "search") return null;
  if (key === "Escape" && !target.value) return () => target.blur();
  if (key !== "Enter" && key !== "ArrowDown") return null;
  return () => { target.blur(); move(0); };
}

function meaning({ key, target }, { move, enter, leave, filter, pause, tryOut, levers, help }) {
  const isReading = Boolean(target.closest(".panel"));  // there the arrows scroll
  switch (key) {
    case "j": return () => move(1);
    case "k": return () => move(-1);
    case "ArrowDown": return isReading ? null : () => move(1);
    case "ArrowUp": return isReading ? null : () => move(-1);
    case "Enter": return target.closest("#rows") ? enter : null;
    case "Escape": return leave;
    case "/": return filter;
    case "p": return pause;
    case "t": return tryOut;
    case "l": return levers;
    case "?": return help;
    default: return null;
  }
}
