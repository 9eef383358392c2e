"""What to say of a mistake beside where it is: the word that was meant, how a text differs from one that looks like it,
YAML's own errors in words with their cure, files that are something else than scenarios. Only mistakes need it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from unicodedata import combining, normalize

from mock_server.protocol.errors import excerpt, nearest
from mock_server.records import lazy
from mock_server.scenario.node import Node, Position

# words that people write for ours: what each may mean, of which the first that is known here is suggested
MEANT: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("match", "matches", "matcher"), ("when", "regex")),
    **dict.fromkeys(("request", "if", "condition", "conditions", "on", "trigger", "filter"), ("when",)),
    **dict.fromkeys(("user", "query", "question"), ("prompt", "when")),
    **dict.fromkeys(("message", "messages", "input"), ("prompt", "input", "message", "when")),
    **dict.fromkeys(("response", "answer", "output", "assistant", "then", "returns", "say", "result"), ("reply",)),
    **dict.fromkeys(("content", "text", "body"), ("reply", "content", "text", "prompt")),
    **dict.fromkeys(("responses", "replies", "steps", "conversation", "script", "sequence", "answers"), ("turns",)),
    **dict.fromkeys(("retries", "tries"), ("attempts",)),
    **dict.fromkeys(("id", "title", "scenario"), ("name",)),
    **dict.fromkeys(("repeat", "count", "limit", "once"), ("times",)),
    **dict.fromkeys(("delay", "latency", "wait", "sleep", "speed", "pace"), ("timing", "first", "for")),
    **dict.fromkeys(("probability", "percent", "weight"), ("chance",)),
    **dict.fromkeys(("faults", "failure", "chaos"), ("fault",)),
    **dict.fromkeys(("status", "status_code", "code"), ("status", "error")),
    **dict.fromkeys(("finish_reason", "stop"), ("stop_reason", "end_turn")),
    **dict.fromkeys(("length", "token_limit"), ("max_tokens",)),
    **dict.fromkeys(("tool_calls", "function_call"), ("tool_use", "reply")),
    **dict.fromkeys(("function", "functions", "tool"), ("tools", "of")),
    **dict.fromkeys(("arguments", "args", "parameters"), ("input",)),
    **dict.fromkeys(("system_prompt",), ("system",)),
    **dict.fromkeys(("headers",), ("header", "headers")),
    **dict.fromkeys(("is", "eq", "equal", "exact"), ("equals",)),
    **dict.fromkeys(("includes", "has", "substring", "contain"), ("contains", "has")),
    **dict.fromkeys(("pattern", "re", "regexp"), ("regex",)),
    **dict.fromkeys(("like", "startswith", "starts_with", "endswith", "wildcard"), ("glob",)),
    **dict.fromkeys(("or", "any_of", "oneof"), ("any", "in")),
    **dict.fromkeys(("and", "all_of", "every"), ("all",)),
    **dict.fromkeys(("min", "minimum", "from"), ("gte",)),
    **dict.fromkeys(("max", "maximum"), ("lte",)),
    **dict.fromkeys(("quick", "quickly", "rapid"), ("fast",)),
    **dict.fromkeys(("none", "immediate", "immediately", "zero", "off"), ("instant",)),
    **dict.fromkeys(("normal", "real", "default"), ("realistic",)),
    **dict.fromkeys(("timeout", "hang"), ("timeout_error", "stall")),
    **dict.fromkeys(("close", "drop", "disconnected"), ("disconnect", "close")),
    **dict.fromkeys(("overload", "busy"), ("overloaded_error",)),
    **dict.fromkeys(("too_many_requests", "throttled"), ("rate_limit_error",)),
    **dict.fromkeys(("unauthorized", "unauthenticated"), ("authentication_error",)),
    **dict.fromkeys(("forbidden",), ("permission_error",)),
    **dict.fromkeys(("internal_server_error", "server_error"), ("api_error",)),
}


def meant(wrong: str, known: Iterable[str]) -> str | None:
    """The known word that was meant: by its meaning, else by its letters; None when none is close."""
    words = list(known)
    plain = "_".join(wrong.split()).lower().replace("-", "_")
    for word in (plain, *MEANT.get(plain, ()), plain.partition("_{")[0]):
        if word in words:
            return word
    return next(iter(nearest(wrong, words)), None)


def quoted(text: str) -> str:
    """A text as YAML wants it in quotes."""
    text = excerpt(text.strip(), 60)
    return "'{}'".format(text.replace("'", "''")) if '"' in text or "\\" in text else f'"{text}"'


# -- texts that look the same ---------------------------------------------------------------------------------------

# Composed and decomposed letters and kinds of spaces are alike wherever a scenario asks for a part of a text (`alike`
# of the conditions). Of these, of quotes, dashes and letters of other alphabets the code points are named: nobody sees
# them.
_UNSEEN = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")  # soft hyphen, zero width spaces and joiners
_SEEN = 2_000  # characters of a text that an explanation looks at
_OTHERS = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'"),  # quotes
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),  # dashes
    **dict(
        zip("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb", "aeopcyxijsdh", strict=True)
    ),  # Cyrillic
    **dict(zip("\u03bf\u03bd\u03b1", "ova", strict=True)),  # Greek
}


class Sight:
    """A text as it looks: character by character, each with its place in the text."""

    def __init__(self, text: str) -> None:
        self.source = text[:_SEEN]

    @lazy
    def seen(self) -> tuple[str, Sequence[int]]:
        """What is seen, in lower case and with single spaces, and where in the text each character of it stands."""
        seen: list[str] = []
        places: list[int] = []
        for at, character in enumerate(self.source):
            if character in _UNSEEN:
                continue
            for one in normalize("NFKD", character).lower():
                one = _OTHERS.get(one, " " if one.isspace() else one)
                if one != " " or seen[-1:] != [" "]:
                    seen.append(one)
                    places.append(at)
        return "".join(seen), places


def difference(wanted: str, got: Sight) -> str | None:
    """How the part of a text that looks like what was wanted differs from it, in code points; None where none does."""
    if wanted.isascii() and got.source.isascii():
        return None
    shown, _ = Sight(wanted.strip()).seen
    seen, places = got.seen
    at = seen.find(shown)
    if not shown or at < 0:
        return None
    end = at + len(shown)
    part = got.source[places[at] : places[end] if end < len(places) else None]
    for one, other in zip(_letters(wanted.strip()), _letters(part.strip()), strict=False):
        if one.lower() != other.lower() and not (
            one.isspace() and other.isspace() and one.isascii() and other.isascii()
        ):
            return f"it looks the same, but has {_code_points(other)} where {_code_points(one)} is wanted"
    return None


def _letters(text: str) -> list[str]:
    """The characters as they are seen: each with its accents and with what nobody sees behind it."""
    found: list[str] = []
    for character in text:
        if found and (combining(character) or character in _UNSEEN):
            found[-1] += character
        else:
            found.append(character)
    return found


def _code_points(text: str) -> str:
    return " ".join(f"U+{ord(character):04X}" for character in text)


# -- YAML's errors --------------------------------------------------------------------------------------------------


class Broken(NamedTuple):
    """Where a YAML parser stopped, and what it says: the line and column counted from 0, the lines of the text, and
    where what it was reading then had begun."""

    problem: str
    context: str
    line: int
    column: int
    lines: Sequence[str]
    begun: Position

    @property
    def text(self) -> str:
        """The line, as far as it is looked at."""
        return self.lines[self.line][: self.column + _SEEN] if self.line < len(self.lines) else ""

    @property
    def entry(self) -> "re.Match[str] | None":
        """The line as a key and its value; None where it is none, or goes on so long before the place that to try it in
        every way would take seconds."""
        return _KEY.match(self.text) if self.column <= _SEEN else None

    @property
    def rest(self) -> str:
        """What of the line is left to read."""
        return self.text[self.column :].strip()

    @property
    def place(self) -> Position:
        return Position(self.line + 1, self.column + 1)


Advice = tuple[Position, str] | None
_KEY = re.compile(r"""^\s*(?:-\s+)*(?P<key>[^\s"'\[{#][^:#]*):\s+(?P<value>\S.*)$""")


def syntax(error: Any, text: str) -> tuple[Position | None, str]:
    """What a YAML error (`MarkedYAMLError`) means, where, and what to write instead."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return None, f"not YAML: {error.problem or error.context}"
    begun = error.context_mark or mark
    problem, context = str(error.problem or ""), str(error.context or "")
    lines = text.split("\n")
    broken = Broken(problem, context, mark.line, mark.column, lines, Position(begun.line + 1, begun.column + 1))
    for read in _READERS:
        if (advice := read(broken)) is not None:
            return advice[0], f"not YAML: {advice[1]}"
    return broken.place, f"not YAML: {problem or context}"


def _tab(at: Broken) -> Advice:
    indent = at.text[: len(at.text) - len(at.text.lstrip())]
    if "\t" not in indent:
        return None
    return Position(at.line + 1, indent.index("\t") + 1), "a tab indents this line; YAML takes only spaces: write two"


def _sign(at: Broken) -> Advice:
    """A text that begins with a sign of YAML's own."""
    sign = at.text[at.column : at.column + 1]
    if "cannot start any token" in at.problem and sign in ("@", "`", "%"):
        return at.place, f"a text cannot begin with {sign}; write it in quotes: {quoted(at.rest)}"
    if "alias" in at.problem or "alias" in at.context or "anchor" in at.context:
        begin = at.begun.column - 1 if "scanning" in at.context else at.column
        rest = (at.lines[at.begun.line - 1] if "scanning" in at.context else at.text)[begin:]
        what = "points to an &anchor, and there is none" if rest[:1] == "*" else "names an anchor"
        where = at.begun if "scanning" in at.context else at.place
        return where, f"{rest[:1]} before a word {what}; if a text is meant, write it in quotes: {quoted(rest)}"
    return None


def _colon(at: Broken) -> Advice:
    if "mapping values are not allowed" not in at.problem:
        return None
    found = at.entry
    if found is not None and at.column > found.start("value"):
        key, value = found["key"].strip(), found["value"]
        return at.place, f"a text with ': ' in it; write it in quotes: {key}: {quoted(value)}"
    above = next((line.strip() for line in reversed(at.lines[: at.line]) if line.strip()), "")
    return at.place, (
        f"this line is indented as if it went on with {excerpt(above, 40)!r}, which has a value already; "
        "begin it in the same column"
    )


def _open_quote(at: Broken) -> Advice:
    if "quoted scalar" not in at.context:
        return None
    if "escape" in at.problem or "hexdecimal" in at.problem or "hexadecimal" in at.problem:
        return at.place, "a \\ in double quotes begins an escape such as \\n; write \\\\, or take single quotes"
    return at.begun, "the quote that opens here is never closed"


def _behind_quote(at: Broken) -> Advice:
    """Text behind the closing quote: YAML takes it for the next key."""
    found = at.entry
    if found is None or found["value"][0] not in "\"'" or at.column <= found.start("value"):
        return None
    value = found["value"].strip()
    text = value[1:-1] if value[-1] == value[0] else value  # its own quotes, or some of what it says
    return at.place, f"the text goes on behind its closing quote; put all of it in quotes: {quoted(text)}"


def _flow(at: Broken) -> Advice:
    if "flow" not in at.context:
        return None
    sign = "{" if "mapping" in at.context else "["
    closing = {"{": "}", "[": "]"}[sign]
    return at.place, (
        f"the {sign} of line {at.begun.line} wants a comma or a {closing} here; a text with any of , : {{ }} [ ] in it "
        "wants quotes"
    )


def _list_in_line(at: Broken) -> Advice:
    if "sequence entries are not allowed" not in at.problem:
        return None
    return at.place, "a list begins on a line of its own, each item behind '- '; or write it as [a, b]"


_BLOCK_TEXT = re.compile(r":\s+[|>][+-]?$")


def _no_colon(at: Broken) -> Advice:
    if "could not find expected ':'" not in at.problem:
        return None
    line = min(at.begun.line, len(at.lines))
    above = at.lines[line - 2].rstrip() if line > 1 else ""
    if _BLOCK_TEXT.search(above):
        sign = above.rstrip("+-")[-1]
        return Position(line, 1), f"the text behind the {sign} of line {line - 1} is indented by two spaces"
    written = excerpt(at.lines[line - 1].strip(), 40)
    return Position(line, at.begun.column), f"{written!r} has no ': ' behind its key; write it as key: value"


def _block_text(at: Broken) -> Advice:
    if "block scalar" not in at.context:
        return None
    return at.place, "a text of several lines begins on the line below its | or >, and is indented"


def _indented(at: Broken) -> Advice:
    """A line that begins in a column where nothing begins."""
    if not any(word in at.problem + at.context for word in ("block mapping", "block collection", "block sequence")):
        return None
    own = len(at.text) - len(at.text.lstrip(" ")) + 1
    if at.rest[:1] == "-" and at.rest[1:2] in ("", " "):
        others = _columns(at, lambda line: line.lstrip().startswith("- "))
        what, which = "this item of a list", "the others"
    else:
        others = _columns(at, lambda line: _begins_key(line))
        what, which = "this line", "keys above it"
    if not others:
        return None
    listed = " or ".join(map(str, others))
    return Position(at.line + 1, own), (
        f"{what} begins in column {own}, {which} in column {listed}; what belongs together begins in the same column"
    )


def _begins_key(line: str) -> bool:
    return re.match(r"\s*[^\s#\-][^:]*:(\s|$)", line) is not None


def _columns(at: Broken, begins: Callable[[str], bool]) -> list[int]:
    """In which columns those lines above begin that may be what this one belongs to."""
    found: list[int] = []
    for line in reversed(at.lines[max(0, at.line - 100) : at.line]):
        if line.startswith("---"):
            break
        column = len(line) - len(line.lstrip(" ")) + 1
        if begins(line) and (not found or column < found[-1]):
            found.append(column)
    return found[::-1]


def _stray(at: Broken) -> Advice:
    if "document start" not in at.problem:
        return None
    return at.place, "what stands here belongs to nothing above it; another scenario begins behind a line with ---"


_READERS: tuple[Callable[[Broken], Advice], ...] = (
    _tab,
    _sign,
    _colon,
    _open_quote,
    _flow,
    _list_in_line,
    _no_colon,
    _block_text,
    _behind_quote,
    _indented,
    _stray,
)


# -- files that are something else ----------------------------------------------------------------------------------

_OURS = frozenset(("name", "when", "turns", "reply", "cases", "attempts", "defaults"))
_IMPORT = "; make a scenario of it: mock-server import {file}"


def program(value: Mapping[str, Node]) -> str | None:
    """The kind of file, of another program, that a document surely is: it has the keys that this program asks for."""
    return next((kind for kind, fits in _PROGRAMS.items() if fits(value)), None)


def _has(value: Mapping[str, Node], key: str, kind: type = dict) -> bool:
    return key in value and isinstance(value[key].value, kind)


_PROGRAMS: Mapping[str, Callable[[Mapping[str, Node]], bool]] = {
    "a manifest of Kubernetes": lambda value: _has(value, "apiVersion", str) and _has(value, "kind", str),
    "a Compose file": lambda value: _has(value, "services"),
    "a workflow of GitHub": lambda value: "on" in value and _has(value, "jobs"),
    "an action of GitHub": lambda value: _has(value, "runs") and "using" in value["runs"].value,
    "a pipeline of GitLab": lambda value: any(isinstance(one.get("script"), str | list) for one in value.values()),
    "an OpenAPI document": lambda value: _has(value, "openapi", str) and _has(value, "info"),
}


def something_else(document: Node, file: str, known: Iterable[str]) -> str | None:
    """What a document is that is no scenario but was pasted into a file of them; None when nothing is recognised.

    `known`: the keys of a scenario.
    """
    value = document.value
    if isinstance(value, list):
        return _list_of(value, file)
    if not isinstance(value, dict) or not _OURS.isdisjoint(value):
        return None
    to_import = _IMPORT.format(file=file)
    for fits, text in _KINDS:
        if fits(value):
            return text.format(to_import=to_import)
    keys = set(known)
    if isinstance(value.get("scenarios", Node(None)).value, list):
        return "scenarios are no list: each stands at the top of the file, with a line with --- between two"
    if len(value) > 1 and keys.isdisjoint(value) and not any(meant(key, keys) in _OURS for key in value):
        return f"none of its keys is one of a scenario ({excerpt(', '.join(value), 60)}): this is another kind of file"
    return None


def _list_of(items: Sequence[Node], file: str) -> str | None:
    if not items or not all(isinstance(item.value, dict) for item in items):
        return None
    if all("role" in item.value for item in items):
        return f"this is a list of messages, not a scenario{_IMPORT.format(file=file)}"
    if all("name" in item.value and not _OURS.isdisjoint(item.value.keys() - {"name"}) for item in items):
        return "scenarios are no list: write each without '- ', and a line with --- between two"
    return None


def _text(value: Mapping[str, Node], key: str) -> str:
    found = value[key].value if key in value else None
    return found if isinstance(found, str) else ""


def _is_openai(value: Mapping[str, Node]) -> bool:
    return "choices" in value or _text(value, "object").startswith("chat.completion")


def _is_claude(value: Mapping[str, Node]) -> bool:
    return "max_tokens" in value or "claude" in _text(value, "model")


_KINDS: Sequence[tuple[Callable[[Mapping[str, Node]], bool], str]] = (
    (
        lambda value: _text(value, "type") == "message" and "content" in value,
        "this is a message of the API, not a scenario{to_import}",
    ),
    (
        lambda value: _text(value, "type") == "error" and "error" in value,
        "this is an error of the API, not a scenario; write name: NAME and error: {{type: …, message: …}}",
    ),
    (
        lambda value: "request" in value and not value.keys().isdisjoint(("response", "reply")),
        "this is a recorded call, not a scenario{to_import}",
    ),
    (
        lambda value: "interactions" in value or "http_interactions" in value or "log" in value,
        "these are recorded calls, not scenarios{to_import}",
    ),
    (
        _is_openai,
        "this is a reply of OpenAI's chat API, not a scenario, and import reads calls of the Messages API only; "
        "write name: NAME and reply: TEXT",
    ),
    (
        lambda value: "messages" in value and _is_claude(value),
        "this is a request of the API, not a scenario; write name: NAME, when: {{prompt: …}} and reply: TEXT (with its "
        "response beside it, as {{request, response}}, `mock-server import` makes the scenario)",
    ),
    (
        lambda value: "messages" in value,
        "this is a request in the form of OpenAI's chat API, not a scenario, and import reads calls of the Messages "
        "API only; write name: NAME, when: {{prompt: …}} and reply: TEXT",
    ),
)
