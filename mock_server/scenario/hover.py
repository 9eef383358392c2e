"""What editors show beside each key of a scenario, and the reference page lists: one line each."""

from collections.abc import Mapping

SCENARIO: Mapping[str, str] = {
    "name": "What it is called: in errors, in the journal, and by clients that ask for it by name.",
    "description": "One line for people: lists, the page, the docs.",
    "when": "Which requests it answers: every condition must hold. `named`: only those that name it. Left out: all.",
    "turns": "What it answers, position by position; the position is read from the conversation.",
    "timing": "The pace: instant, fast, realistic, slow, or {first: 400ms, rate: 80/s}. Inner ones win whole.",
    "priority": "Higher is asked first; the default is 0.",
    "anchor": "Where positions are counted from: the newest prompt, the conversation's first, or the session.",
    "at_end": "Past the last turn: pass on (default), repeat the last, loop, or error.",
    "times": "How many exchanges may begin; those under way always go on.",
    "rate_limits": "Limits of its own, beside those of the profile: a 429 past them.",
    "chance": "Of an overlay: how often it strikes, such as 20%, drawn from the seed and the request.",
    "fault": "Without turns: what it lays over the replies of others.",
    "gate": "Without turns: where it holds the replies of others.",
    "tags": "Words to sort scenarios by. One has a meaning: `side` marks the scenarios for side calls of agents.",
}
ANSWER: Mapping[str, str] = {
    "when": "The condition of a case; the first case that holds wins. Here `turn` and `attempt` can be asked too.",
    "chance": "How often a case is taken, such as 20%: drawn once a request, from the seed.",
    "expect": "What the request must be like, in the words of `when`; else a 400 that lists the differences.",
    "reply": "A text, a block, or a list of them. The API's own JSON is always a valid block.",
    "error": "An error instead: its type, its status, or {type, message, retry_after, …}.",
    "generate": "A reply made up for the request: {tokens: 200..300, style: markdown}.",
    "cases": "Answers that depend on the request: the first whose `when` holds.",
    "attempts": "What the first, second, … try of the same request gets.",
    "timing": "The pace of this answer.",
    "fault": "What goes wrong with this reply: a fault by name, {type: disconnect, after: {deltas: 5}}, or a list.",
    "gate": "Where this reply is held until a test lets it go on: a name, or {name, after, ping}.",
    "stop_reason": "Why it ends, where the blocks do not say so by themselves.",
    "stop_sequence": "The stop sequence that ended it.",
    "stop_details": "Why it was refused: {category: cyber, explanation: …}.",
    "max_tokens": "The limit it was said under: with this or more it is sent as it is, with less it is cut.",
    "usage": "Counters to tell instead of the reckoned ones.",
    "model": "The model that is said to have replied, where it is not the one asked for.",
    "container": "The container it tells of: {id, expires_at, skills}; what is left out is made.",
    "context_management": "The edits it tells of: {applied_edits: […]}.",
    "diagnostics": "Why the prompt missed the cache: {cache_miss_reason: …}.",
    "input_transformations": "What was done to the input, as a list.",
    "headers": "More headers of the reply.",
    "batch": "What a request of a message batch comes to instead: expired or canceled.",
}
FAILURE: Mapping[str, str] = {
    "type": "The error's type, such as overloaded_error.",
    "status": "The HTTP status; by default the type's own.",
    "message": "What it says: a text, or {template: …}.",
    "retry_after": "The header retry-after, such as 2s.",
    "retry_after_ms": "The header retry-after-ms, in milliseconds.",
    "should_retry": "The header x-should-retry.",
    "details": "More keys of the error object.",
}
TIMING: Mapping[str, str] = {
    "first": "Time to the first event, such as 400ms, or a distribution such as {p50: 400ms, p95: 2s}.",
    "per_input_token": "What each input token adds to it, such as 0.2ms; tokens read from the cache add nothing.",
    "gap": "Time between two deltas, or a distribution.",
    "rate": "Tokens a second, such as 80/s, instead of a gap.",
    "jitter": "How far each fixed delay may be off, such as 20%: drawn for each request.",
    "pauses": "Time before blocks of a type, or a distribution: {server_tool: 1500ms, text: 300ms}.",
    "ping": "A ping whenever this long passes without an event, such as 5s.",
    "chunk": "What texts and tool JSON are split by: token, word, sentence, all, a number of characters, or "
    "{bytes: 7}. Without it texts come by token, tool JSON value by value.",
    "burst": "How many such chunks one delta carries: 5, 1..10, or a distribution of numbers.",
    "replay": "A recorded timeline instead: the offset of every delta, or {events: […]}.",
}
REPLAY: Mapping[str, str] = {
    "events": "The offset of every event, from message_start to message_stop.",
    "deltas": "The offset of every content_block_delta; the other events come with the delta before them.",
}
FAULT: Mapping[str, str] = {
    "after": "Where it strikes: {deltas: 5}, {events: 3}, {blocks: 1}, {tokens: 20}, {bytes: 100}; else the middle.",
    "then": "How the connection goes on: end (the body ends properly), close (FIN), reset (RST), hang.",
    "error": "The error: its type, its status, or {type, message, …}.",
    "for_": "How long, such as 2s.",
    "ping": "Send a ping each time this long has passed.",
    "event": "Which kind of event.",
    "nth": "Which one of that kind, from 1.",
    "name": "What it is called.",
    "bytes": "How many bytes.",
    "bytes_per_second": "How fast, in bytes a second.",
    "inside": "What is cut in two: a frame, or a character of several bytes.",
    "status": "The HTTP status.",
    "content_type": "The content-type that is told.",
    "by": "How many bytes too long (above 0) or too short.",
    "how": "What is wrong with the compression.",
    "seed": "A seed of its own; without it, that of the request.",
}
AFTER: Mapping[str, str] = {
    "events": "After so many events, pings not counted.",
    "deltas": "After so many deltas; 0: before the first.",
    "blocks": "After so many blocks; 0: before the first.",
    "tokens": "After the delta that completes so many tokens.",
    "bytes": "After so many bytes of the body, also inside an event.",
    "in_": "Count only the deltas of this kind of block, such as tool_use.",
}
BETWEEN = "A gate between two blocks: the reply is held here until a test lets it go on."
STOP_DETAILS: Mapping[str, str] = {
    "type": "refusal",
    "category": "What it was refused for.",
    "explanation": "A sentence for people.",
    "recommended_model": "Which model would take it (beta).",
    "fallback_credit_token": "What pays for asking that model (beta).",
    "fallback_has_prefill_claim": "Whether that model may go on from what was said (beta).",
}
CONTAINER: Mapping[str, str] = {
    "id": "Its id; else that of the request, or a new one.",
    "expires_at": "When it ends, such as 2026-06-01T09:00:00Z; else an hour from now.",
    "skills": "The skills in it: a list of {type, skill_id, version}.",
}
GENERATE: Mapping[str, str] = {
    "tokens": "How long: a number, or a range such as 200..300.",
    "style": "What kind of text.",
    "locale": "Whose words and names, such as de_DE.",
}
GENERATED_REPLY: Mapping[str, str] = {
    **GENERATE,
    "thinking": "Whether a thought comes first; without it as the request asks.",
    "tools": "Which tools it calls: those that tool_choice forces, or the offered one that fits the prompt too.",
}
LIMITS: Mapping[str, str] = {
    "requests": "Requests a minute.",
    "input_tokens": "Input tokens a minute.",
    "output_tokens": "Output tokens a minute.",
    "tokens": "Input and output tokens a minute.",
    "requests_per_second": "Requests a second.",
}
SUBJECTS: Mapping[str, str] = {
    "prompt": "The text of the human turn: a text is looked for, whatever the case and white space.",
    "last_message": "The text of the newest turn, tool results included.",
    "system": "The system prompt.",
    "model": "The model as the client spells it: a name or a glob.",
    "tools": "Tools on offer, by name or glob: a list means all of them.",
    "tool_choice": "auto, any, tool or none; or {type: tool, name: x}.",
    "tool_result": "A result in the newest turn: {of: tool, for: {city: Paris}, is_error: true, content: text}.",
    "stream": "Whether a stream is asked for.",
    "has": "A kind of content anywhere in the conversation: image, document, thinking, …",
    "header": "Headers by name: {x-team: search}.",
    "body": "Values at paths into the JSON: {max_tokens: {gt: 1000}, messages[0].role: user}.",
    "schema": "A JSON Schema that the body must fit.",
    "turn": "The turn of the script, counted from 1.",
    "attempt": "Which time this request comes, counted from 1.",
    "all": "Every one of these conditions.",
    "any": "One of these conditions.",
    "not": "Not this condition.",
}
RESULT: Mapping[str, str] = {
    "of": "The tool's name or a glob.",
    "for": "The input of the call it answers: {city: Paris}.",
    "id": "The call's id.",
    "is_error": "Whether the tool failed.",
    "content": "The text of the result.",
}
