// Calls of the control API, with the token when the server asks for one, and the replay of a request.

const KEPT = "mock_server.token";
const PASSED_ON = /^(anthropic-|x-mock-)/;

let askForToken = async () => null;
let asking = null;
let declined = false;  // asked once and got none: a page that asks again and again is a nuisance

/** A reply that says no: `status` (0: there was none), the error as the message, what would be right as `hint`. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body?.error ?? `the server answered ${status}`);
    this.status = status;
    this.hint = body?.hint ?? "";
    this.problems = body?.problems ?? [];
  }
}

/** `ask(again)` gives a token a person typed, or null; `again` when the one before was wrong. */
export function whenTokenIsWanted(ask) {
  askForToken = ask;
}

export function token() {
  return sessionStorage.getItem(KEPT) ?? "";
}

/** The address of a control route; values that are empty are left out. */
export function address(path, query = {}) {
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  return `/_mock/${path}${parameters.size ? `?${parameters}` : ""}`;
}

/** The JSON a control route answers. Asks for a token when the server wants one. Throws ApiError. */
export async function call(method, path, query = {}, signal = undefined, body = undefined, type = "application/json") {
  const used = token();
  const headers = used ? { authorization: `Bearer ${used}` } : {};
  if (body !== undefined) headers["content-type"] = type;
  const response = await reached(address(path, query), { method, signal, headers, body });
  if (response.status === 401 && await newToken(used)) return call(method, path, query, signal, body, type);
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, answer);
  return answer;
}

async function reached(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError(0, { error: "the server cannot be reached" });
    throw error;
  }
}

export function get(path, query, signal) {
  return call("GET", path, query, signal);
}

export function post(path, body, query = {}) {
  return call("POST", path, query, undefined, JSON.stringify(body));
}

export function put(path, body, query = {}) {
  return call("PUT", path, query, undefined, JSON.stringify(body));
}

export function postYaml(path, text, query = {}) {
  return call("POST", path, query, undefined, text, "application/yaml");
}

/** Whether there is now another token than the one that was refused. Calls that fail together share one question. */
async function newToken(refused) {
  if (token() !== refused) return true;
  if (declined) return false;
  asking ??= askForToken(refused !== "").finally(() => { asking = null; });
  const typed = await asking;
  declined = typed === null;
  if (declined) return false;
  sessionStorage.setItem(KEPT, typed);
  return true;
}

/** Send the request of an entry again. Gives the number of the new entry, or null when it is not known. */
export async function replay(entry, newest) {
  const { request } = entry.request.cut ? await get(`journal/${entry.number}`, { session: entry.session, whole: "true" }) : entry;
  const response = await reached(onThisServer(entry.path, request.query), {
    method: entry.method,
    headers: replayHeaders(entry),
    body: entry.method === "GET" ? undefined : request.raw ?? JSON.stringify(request.body),
  });
  response.text().catch(() => {});  // read to its end: a client that leaves would change the outcome
  return newEntry(entry, newest, response.headers.get("request-id") ?? response.headers.get("x-request-id"));
}

/** Whatever the path is (`//elsewhere`), it is one of this server. */
function onThisServer(path, query) {
  const url = new URL(location.origin);
  url.pathname = path;
  url.search = query;
  return url;
}

function replayHeaders(entry) {
  const kept = Object.entries(entry.request.headers).filter(([name]) => PASSED_ON.test(name));
  return { ...Object.fromEntries(kept), "content-type": "application/json", "x-api-key": "replay", "x-mock-session": entry.session };
}

/** Of the entries since `newest`, the one whose reply bears this request id, else the latest that looks like `entry`. */
async function newEntry(entry, newest, requestId) {
  const { entries } = await get("journal", { session: entry.session, after: newest, limit: 100 });
  const alike = entries.filter((one) => one.path === entry.path && one.prompt === entry.prompt);
  const same = requestId ? entries.find((one) => one.request_id === requestId) : null;
  return (same ?? alike[0])?.number ?? null;
}
