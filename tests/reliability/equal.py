"""Mutants that no test can notice, and why: what `Mutant.name` says -> the reason.

Each of them behaves as what it was made of, for every request and scenario there can be, or differs in what is nobody's
promise (how much is kept for later, which of two right ways is gone).
"""

_CHEAPER = "a way around work that would find nothing: without it the same is found, later"
_OTHER_ENGINE = "another engine takes the search, and finds the same"
_KEPT = "how much is kept, or handed on at once, is a choice: one more or less is as good"
_ESTIMATE = "what a check is said to cost is an estimate: the bound is for the order of the work"
_TYPES = "only type checkers read it"

EQUAL: dict[str, str] = {
    "mock_server/scenario/conditions.py read_states: return NO_STATES -> return None (2)": (
        "a file with a mistake is not served: what stands for the value is looked at by nobody"
    ),
    "mock_server/protocol/rules/history.py breakpoints: 'marks' -> 'marksX'": "any name does for what is remembered",
    "mock_server/protocol/rules/content.py is_usual: True -> False (2)": _CHEAPER,
    "mock_server/protocol/tokens.py counted: len(request.raw) < LONG -> len(request.raw) <= LONG": (
        "either way counts the same tokens"
    ),
    "mock_server/protocol/rules/__init__.py _of_rest: 'messages' -> 'messagesX'": (
        "nothing is known of messages as a parameter: they are looked at one by one"
    ),
    "mock_server/protocol/rules/__init__.py _goes_on_well: rule in OF_THE_END -> rule not in OF_THE_END": (
        "each of those rules says of the whole conversation what it says of its end"
    ),
    "mock_server/protocol/json_schema.py Checker.accepts: 1 -> 2": "one fault in a value says as much as two",
    "mock_server/protocol/beginnings.py Beginnings.keep: 0 -> 1": _KEPT,
    "mock_server/protocol/rules/__init__.py ignored: 'ignored' -> 'ignoredX' (3)": "any name does for what is remembered",
    "mock_server/scenario/conditions.py _hardest: 0 -> 1": "which of two needs is looked up is a choice",
    "mock_server/protocol/expression.py _ExpressionWriter._boundary: 14 -> 15": "no Python that is tried is so new",
    "mock_server/protocol/request.py check_halves: '\\\\' not in text or not (_ANY_HALF(text) if len(text) <= _PIECE else _has_halves(text)) -> '\\\\' not in text and (not (_ANY_HALF(text) if len(text) <= _PIECE else _has_halves(text)))": (
        _CHEAPER
    ),
    "mock_server/engine/library.py Index._lane: len(self._lanes) > MAX_LANES -> len(self._lanes) >= MAX_LANES": (_KEPT),
    "mock_server/protocol/expression.py _ExpressionWriter._repeat: int(high) >= _ENDLESS -> int(high) > _ENDLESS": (
        "no repeat is counted up to that very number"
    ),
    "mock_server/protocol/expression.py _ExpressionWriter._repeat: int(high) > 1 -> int(high) >= 1": (_OTHER_ENGINE),
    "mock_server/protocol/expression.py _is_plain: True -> False": (_OTHER_ENGINE),
    "mock_server/protocol/expression.py _ExpressionWriter._backtracked: '(?!)' -> '(?!)X'": ("either matches nothing"),
    "mock_server/protocol/expression.py _cases: 1 -> 2": ("the one character more is none of two cases"),
    "mock_server/protocol/json_schema.py Checker._additional_properties: len(value) * len(patterns) -> len(value) + len(patterns)": (
        "the keyword that brings the patterns counts the same pairs"
    ),
    "mock_server/engine/library.py Index._lane: False -> True": _KEPT,
    "mock_server/engine/cache.py _unmarked: len(value) > _PIECE -> len(value) >= _PIECE": _KEPT,
    "mock_server/protocol/request.py _DigestInSteps._put: self._held > self.PIECE -> self._held >= self.PIECE": _KEPT,
    "mock_server/protocol/request.py _DigestInSteps._put: self._held > self.PIECE -> not self._held > self.PIECE": (
        "the digest of the pieces is that of the whole, however they are cut"
    ),
    "mock_server/protocol/tokens.py TokenCounter.count: self._held + takes > self._budget -> self._held + takes >= self._budget": (
        _KEPT
    ),
    "mock_server/protocol/rules/__init__.py judge: 'user' -> 'userX'": _CHEAPER,
    "mock_server/protocol/rules/__init__.py judge: len(request.messages) > 1 -> len(request.messages) >= 1": _CHEAPER,
    "mock_server/protocol/rules/history.py not_empty: continue -> break (2)": (
        "only the last message comes there: nothing follows it"
    ),
    "mock_server/protocol/media.py _webp: 10 -> 11 (2)": "no more than those ten bytes are read",
    "mock_server/protocol/json_schema.py Checker._evaluated: True -> False": (
        "a part that is `true` looks at as little as one that is `false`"
    ),
    "mock_server/protocol/json_schema.py _wrong: 'it is no schema of draft 2020-12' -> 'it is no schema of draft 2020-12X'": (
        "the library finds fault with whatever the table refuses, so the words for nothing are never said"
    ),
    "mock_server/protocol/expression.py _ExpressionWriter._place: 'AT_END' -> 'AT_ENDX'": _OTHER_ENGINE,
    "mock_server/protocol/expression.py module: 16 -> 17": _OTHER_ENGINE,
    "mock_server/protocol/beginnings.py module: 24 -> 25": _KEPT,
    "mock_server/protocol/beginnings.py module: 4 -> 5": _KEPT,
    "mock_server/protocol/json_schema.py module: 3 -> 4": _ESTIMATE,
    "mock_server/protocol/json_schema.py module: 32 -> 33 (2)": _ESTIMATE,
    "mock_server/engine/cache.py module: '1h' -> '1hX'": _TYPES,
    "mock_server/protocol/request.py module: '_S' -> '_SX'": _TYPES,
    "mock_server/protocol/beginnings.py Beginnings.keep: len(body) >= LONG -> len(body) > LONG": (
        "a body of just that length is never looked for"
    ),
    "mock_server/protocol/signing.py _is_formed: at < 0 -> at <= 0 (2)": "what was read has a byte at least",
    "mock_server/engine/library.py _Texts._likely: 1 -> 2": "the shorter piece of a word has the letters of none",
    "mock_server/protocol/beginnings.py _key: 0 -> 1": _KEPT,
    "mock_server/protocol/beginnings.py taken_apart: True -> False": (
        "a control character in a text has had the body refused before"
    ),
    "mock_server/engine/library.py _Lane._said: '\\n' -> '\\nX'": (
        "what stands between two messages is part of neither: at worst a scenario is asked that does not match"
    ),
    "mock_server/engine/library.py module: 'end' -> 'endX'": "any name does for a part of a text",
    "mock_server/engine/threads.py module: 32000000 -> 32000001": _KEPT,
    "mock_server/protocol/rules/checks.py module: 'Finding | None' -> 'Finding | NoneX'": _TYPES,
    "mock_server/protocol/rules/content.py module: 'content' -> 'contentX' (8)": _CHEAPER,
    "mock_server/scenario/conversation.py conversed: True -> False (2)": (
        "of one question the long way round says the same: it is the first and the last turn, and nothing is older"
    ),
    "mock_server/engine/choose.py module: 'calls' -> 'callsX'": "what is not worked out ahead is when it is asked for",
    "mock_server/engine/library.py _openings: 1 -> 2 (2)": "two spaces never stand side by side in a text that is looked for",
    "mock_server/engine/choose.py _look_back: scenario.anchored_at == 'conversation' -> scenario.anchored_at != 'conversation'": (
        "what is not worked out ahead is when it is asked for"
    ),
    "mock_server/engine/threads.py Threads._put: 1 -> 2": "two of the longest conversations are far within the bytes",
    "mock_server/protocol/contradictions.py _broken: 1 -> 2": "one fault in a value says as much as two",
    "mock_server/scenario/conversation.py conversed: old is None -> old is not None": (
        "a conversation that is worked out anew is the one that goes on from what was known"
    ),
    "mock_server/engine/cache.py _opening: 'image' in request.kinds -> 'image' not in request.kinds": (
        "prompts with images and those without have digests apart, whichever of them is the one that says so"
    ),
    "mock_server/scenario/conversation.py module: 0 -> 1 (3)": "only cases and expectations ask for the place in a script, and they are told it",
}
