"""What editors show beside each key of a scenario, and the reference page lists: one line each."""

from collections.abc import Mapping

SCENARIO: Mapping[str, str] = {
    "name": "What it is called: in errors, in the journal, and by clients that ask for it by name.",
    "description": "One line for people: lists, the page, the docs.",
    "when": "Which requests it answers: every condition must hold. `named`: only those that name it. Left out: all.",
    "turns": "What it answers, position by position; the position is read from the conversation.",
    "timing": "The pace: instant, fast, realistic, slow, or {first: 400ms, rate: 80/s}. Inner ones win.",
    "priority": "Higher is asked first; the default is 0.",
    "anchor": "Where positions are counted from: the newest prompt, the conversation's first, or the session.",
    "at_end": "Past the last turn: pass on (default), repeat the last, loop, or error.",
    "times": "How many exchanges may begin; those under way always go on.",
    "rate_limits": "Limits of its own, beside those of the profile: a 429 past them.",
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
    "stop_reason": "Why it ends, where the blocks do not say so by themselves.",
    "stop_sequence": "The stop sequence that ended it.",
    "stop_details": "Why it was refused: {category: cyber, explanation: …}.",
    "usage": "Counters to tell instead of the reckoned ones.",
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
    "first": "Time to the first event, such as 400ms.",
    "gap": "Time between two deltas.",
    "rate": "Tokens a second, such as 80/s, instead of a gap.",
    "jitter": "How much each delay varies, such as 20%.",
    "chunk": "What one delta carries: token, word, sentence, all, or a number of characters.",
}
STOP_DETAILS: Mapping[str, str] = {
    "type": "refusal",
    "category": "What it was refused for.",
    "explanation": "A sentence for people.",
}
GENERATE: Mapping[str, str] = {
    "tokens": "How long: a number, or a range such as 200..300.",
    "style": "What kind of text.",
    "locale": "Whose words and names, such as de_DE.",
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
