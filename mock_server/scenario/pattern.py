"""The patterns generated text is written from: first the tables of "{slot}" templates (generate.py fills the
slots), then strings that match a regular expression, written by walking Python's own parse of it.

Knows nothing of JSON Schema or Faker. Random only through the `Random` it is given; all work is bounded.
"""

import importlib
import itertools
import math
import re
import string
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any, TypeVar

from mock_server.protocol import tokens as token

_MOST_STEPS = 20_000
_LONGEST = 100_000
_ALNUM = string.ascii_letters + string.digits
_PRINTABLE = _ALNUM + string.punctuation + " "
_FURTHER = "\n\t\u00e9\u4e2d"
_Hint = TypeVar("_Hint")

PLACES = (
    *("Paris, France", "Berlin, Germany", "San Francisco, CA", "Tokyo, Japan", "London, UK", "New York, NY"),
    *("Lisbon, Portugal", "Oslo, Norway", "Toronto, Canada", "Madrid, Spain", "Seoul, South Korea"),
    *("Sydney, Australia", "Nairobi, Kenya", "Vienna, Austria", "Chicago, IL"),
)
ADJECTIVES = ("weekly", "monthly", "regional", "current", "updated", "final", "quick", "detailed", "shared")
THINGS = ("schedule", "budget", "report", "draft", "checklist", "contract", "survey", "forecast", "backlog")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_OPENINGS = (
    "Here is a short summary of the {adjective} {thing}.",
    "I looked at the {adjective} {thing}, and this is where things stand.",
    "Thanks for the question about the {adjective} {thing}.",
    "There are a few points to settle before the {adjective} {thing} is ready.",
)
_SENTENCES = (
    "{first} from {company} confirmed the figures on {day}.",
    "The office in {city} reported {count} open items, most of them small.",
    "The first step is to compare the {thing} with the {adjective} {thing} and note any gaps.",
    "If the {thing} changes, the {thing} has to be checked again.",
    "That leaves about {count} entries to review by {day}.",
    "A small trial in {city} took {count} minutes and showed no problems.",
    "You can start with the {thing} and leave the {thing} for later.",
    "{first} suggested moving the deadline to {day}, which seems reasonable.",
    "There is one risk: the {adjective} {thing} may arrive late.",
    "Most of the delay comes from the {thing}, not from the people working on it.",
    "It is worth asking {first} {last} whether the {adjective} {thing} is still needed.",
    "None of this affects the {adjective} {thing}.",
    "The team in {city} already uses the same approach for its {thing}.",
    "{company} expects an answer before the end of the month.",
    "So far the {adjective} numbers match what {first} expected.",
    "To keep things simple, each {thing} should have one owner.",
    "After that, {first} can share the {thing} with {company}.",
    "The older {thing} can stay as it is.",
)
_PHRASES = ("Yes", "Done.", "Yes.", "Sure.", "All done.", "That works.", "It is ready.", "Let me know.")
_CLOSINGS = (
    *("All done.", "That works.", "It is ready.", "Let me know.", "I hope that helps.", "That should do it."),
    *("That covers the main points.", "Let me know what you think.", "Please tell me if you need more."),
)
FORMATS: dict[str, str] = {
    "date": "{date}",
    "date-time": "{date}T{time}Z",
    "time": "{time}Z",
    "duration": "PT{count}M",
    "email": "{user}@example.com",
    "idn-email": "{user}@example.com",
    "hostname": "{noun}.example.com",
    "idn-hostname": "{noun}.example.com",
    "ipv4": "192.0.2.{byte}",
    "ipv6": "2001:db8::{byte}",
    "uri": "https://example.com/{noun}/{count}",
    "iri": "https://example.com/{noun}/{count}",
    "uri-reference": "/{noun}/{count}",
    "iri-reference": "/{noun}/{count}",
    "uri-template": "https://example.com/{noun}/{id}",
    "uuid": "{uuid}",
    "regex": "^{noun}s?$",
    "json-pointer": "/{noun}/0",
    "relative-json-pointer": "1/{noun}",
}

# What a word of a property's name, or failing that of its description, suggests. For a description the first
# row that applies wins, so rows with telling words stand before those with vague ones.
_STRING_ROWS: tuple[tuple[str, str], ...] = (
    ("location place", "{place}"),
    ("city town origin destination departure arrival", "{city}"),
    ("country nationality", "{country}"),
    ("country_code", "US|DE|FR|JP|GB"),
    ("state province region", "{state}"),
    ("street address", "{street}"),
    ("zip zipcode postcode postal_code zip_code", "{postcode}"),
    ("timezone tz time_zone", "Europe/Berlin|America/New_York|Asia/Tokyo|UTC"),
    ("email mail recipient sender", "{user}@example.com"),
    ("phone telephone phone_number", "+1-202-555-01{two}"),
    (
        "url uri link href website webhook endpoint",
        "https://example.com/{noun}|https://example.com/{noun}/{count}",
    ),
    ("hostname host domain", "{noun}.example.com"),
    ("ip ip_address", "192.0.2.{byte}"),
    ("uuid guid", "{uuid}"),
    ("datetime timestamp created_at updated_at", "{date}T{time}Z"),
    ("date day birthday deadline since until", "{date}"),
    ("time", "{time}"),
    ("duration", "PT{count}M"),
    ("currency", "EUR|USD|GBP|JPY|CHF"),
    ("language lang", "English|German|French|Spanish|Japanese"),
    ("language_code locale", "en-US|de-DE|fr-FR"),
    ("ticker symbol stock", "AAPL|MSFT|NVDA|AMZN"),
    ("filename file_name file", "{noun}.txt|{noun}.md|{noun}_{count}.csv"),
    ("path filepath file_path directory folder dir", "src/{noun}.py|docs/{noun}.md|/tmp/{noun}.txt"),
    ("sql", "SELECT * FROM {noun} LIMIT {count}"),
    ("command cmd shell bash", "ls -la|git status|pytest -q|cat README.md"),
    ("code snippet script", "print('{noun}')|total = sum(range({count}))"),
    ("expression formula equation", "{count} * {count} + {count}|({count} + {count}) / 2"),
    ("regex pattern glob", "{noun}.*"),
    ("query search keyword question q", "{adjective} {noun} {thing}|{noun} in {city}|{noun} or {noun}"),
    ("unit units", "celsius|fahrenheit"),
    ("color colour", "{color}"),
    ("status", "open|pending|done"),
    ("priority severity", "low|medium|high"),
    ("version", "1.{count}.0"),
    ("price amount cost total", "{count}.50"),
    ("company organization organisation employer vendor", "{company}"),
    ("job occupation profession role", "{job}"),
    ("first_name firstname given_name", "{first}"),
    ("last_name lastname surname family_name", "{last}"),
    ("username user_name login handle", "{user}"),
    ("person customer author owner assignee attendee participant user contact", "{first} {last}"),
    ("title subject headline heading", "The {adjective} {thing}|{adjective} {thing} for {city}"),
    ("description summary content text body message note comment reason thought", "{sentence}"),
    ("prompt answer response reply", "{sentence}"),
    ("sha hash token key checksum", "{hex}{hex}"),
    ("tag label category topic", "{noun}"),
    ("name", "{first} {last}"),
    ("id identifier", "{noun}_{hex}"),
)
# Lowest, highest, digits after the point.
_NUMBER_ROWS: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("latitude lat", (-90, 90, 4)),
    ("longitude lon lng long", (-180, 180, 4)),
    ("year", (2020, 2026, 0)),
    ("month", (1, 12, 0)),
    ("day", (1, 28, 0)),
    ("hour", (0, 23, 0)),
    ("age", (18, 80, 0)),
    ("limit count max top k n number num size quantity", (1, 20, 0)),
    ("page offset index page_number", (1, 5, 0)),
    ("rating stars score", (1, 5, 1)),
    ("confidence probability ratio", (0, 1, 2)),
    ("percent percentage", (0, 100, 1)),
    ("temperature", (-10, 35, 1)),
    ("price amount cost total", (5, 500, 2)),
    ("width height", (100, 1920, 0)),
    ("port", (1024, 65535, 0)),
    ("id", (1000, 99999, 0)),
)


def _by_word(rows: Iterable[tuple[str, _Hint]]) -> dict[str, _Hint]:
    return {word: said for words, said in rows for word in words.split()}


STRING_HINTS = _by_word(_STRING_ROWS)
NUMBER_HINTS = _by_word(_NUMBER_ROWS)
# In a "city_name" or a "currency_code" the other word says more.
_VAGUE = ("name", "code", "address", "text")


def hint(hints: dict[str, _Hint], name: str, description: object) -> _Hint | None:
    """What a word of `name` (the last words first) or, failing that, of `description` suggests, if any."""
    words = _words(name)[::-1]
    for word in ("_".join(words[::-1]), *(word for word in words if word not in _VAGUE), *words):
        if word in hints:
            return hints[word]
    spoken = set(_words(description)) if isinstance(description, str) else set()
    return next((said for word, said in hints.items() if word in spoken), None)


def _words(text: str) -> list[str]:
    """Lower-case words of a name in any case style, in the singular: "userIDs" gives user, id (and s)."""
    words = re.findall(r"[A-Z]+(?![a-rt-z])|[A-Z]?[a-z]+", text)
    return [re.sub(r"(?<=[^sui])s$", "", re.sub(r"ies$", "y", word.lower())) for word in words]


def prose(pick: Callable[[Sequence[str]], str], rng: Random, tokens: int) -> str:
    """Whole sentences that fit into `tokens` tokens, in paragraphs; `pick` fills one of some templates."""
    parts: list[str] = []
    deck: list[str] = []
    left, misses, room = tokens, 0, rng.randint(2, 4)
    while misses < 3:
        deck = deck or rng.sample(_SENTENCES, len(_SENTENCES))
        sentence = pick((deck.pop(),) if parts else _OPENINGS)
        gap = "" if not parts else " " if room else "\n\n"
        # Counts add up: a space counts with the word after it, a paragraph break counts as one.
        cost = token.count(sentence) + (gap == "\n\n")
        if cost > left:
            misses += 1
            continue
        parts += [gap, sentence]
        left -= cost
        room = room - 1 if room else rng.randint(2, 4)
    return "".join(parts) + _closing(rng, left, " " if parts else "")


def _closing(rng: Random, left: int, gap: str) -> str:
    """The longest line that fits, so that little of the budget is left."""
    lines = _CLOSINGS if gap or left > 4 else _PHRASES
    longest = max((cost for line in lines if (cost := token.count(line)) <= left), default=0)
    return gap + rng.choice([line for line in lines if token.count(line) == longest]) if longest else ""


def matching(
    pattern: str, rng: Random, shortest: int = 0, longest: int = _LONGEST, preferred: Iterable[str] = ()
) -> str | None:
    """A string in which `re.search(pattern, ...)` finds something, `shortest` to `longest` characters long.

    The first of `preferred` that will do, else one written for the pattern; empty only if nothing else was
    found, None if not even that: the pattern is broken, or asks for more than a bounded search gives.
    Lookarounds are skipped while writing and only checked at the end: enough for the usual "has a digit".
    """
    empty: str | None = None
    try:
        tree, found = _parse(pattern), re.compile(pattern)
        for text in itertools.chain(preferred, _drafts(tree, rng, shortest)):
            if shortest <= len(text) <= longest and found.search(text):
                if text:
                    return text
                empty = text
    except (re.error, OverflowError, RecursionError, _TooMuch):
        return empty
    return empty


def fits(pattern: object, text: str) -> bool:
    """Whether `text` matches `pattern` somewhere; False for a broken pattern."""
    try:
        return isinstance(pattern, str) and re.search(pattern, text) is not None
    except (re.error, OverflowError, RecursionError):
        return False


def _parse(pattern: str) -> Any:
    module = "re._parser" if sys.version_info >= (3, 11) else "sre_parse"
    return importlib.import_module(module).parse(pattern)


def _drafts(tree: Any, rng: Random, shortest: int) -> Iterator[str]:
    """Texts with short open repeats first, then with repeats as long as `shortest` needs."""
    for _ in range(8):
        yield _Writer(rng, 3, exact=False).sequence(tree)
    bare, longer = (_Writer(Random(1), spread, exact=True).sequence(tree) for spread in (0, 1))
    yield bare
    # The length grows by the same step with every extra repetition, unless open repeats are nested.
    step = max(1, len(longer) - len(bare))
    spread = math.ceil((shortest - len(bare)) / step)
    if spread > 0:
        yield _Writer(Random(1), spread, exact=True).sequence(tree)
        for _ in range(8):
            yield _Writer(rng, 2 * spread, exact=False).sequence(tree)


class _TooMuch(Exception):
    """The pattern asks for more characters than a bounded search writes."""


class _Writer:
    """One walk over a parsed pattern. `spread`: how far a repeat exceeds its minimum, at most or exactly."""

    def __init__(self, rng: Random, spread: int, *, exact: bool) -> None:
        self.rng = rng
        self.groups: dict[int, str] = {}
        self._spread = spread
        self._exact = exact
        self._left = _MOST_STEPS + 4 * spread
        self._classes: dict[int, str] = {}

    def sequence(self, nodes: Any) -> str:
        return "".join([self._node(op.name, argument) for op, argument in nodes])

    def times(self, low: int, high: int) -> int:
        most = min(high, low + self._spread)
        if low > _LONGEST:
            raise _TooMuch
        return most if self._exact else self.rng.randint(low, most)

    def one_of(self, members: Any) -> str:
        # The walk meets one class again for every repetition of it.
        if id(members) not in self._classes:
            self._classes[id(members)] = _members(members)
        return self.rng.choice(self._classes[id(members)])

    def _node(self, name: str, argument: Any) -> str:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        write = _WRITERS.get(name)
        return write(self, argument) if write else ""


def _subpattern(writer: _Writer, argument: Any) -> str:
    group, nodes = argument[0], argument[-1]
    written = writer.sequence(nodes)
    if group is not None:
        writer.groups[group] = written
    return written


def _repeat(writer: _Writer, argument: Any) -> str:
    low, high, nodes = argument
    return "".join([writer.sequence(nodes) for _ in range(writer.times(low, high))])


def _conditional(writer: _Writer, argument: Any) -> str:
    group, then, otherwise = argument
    return writer.sequence((then if group in writer.groups else otherwise) or [])


# Anchors and lookarounds are not here: they write nothing.
_WRITERS: dict[str, Callable[[_Writer, Any], str]] = {
    "LITERAL": lambda writer, code: chr(code),
    "NOT_LITERAL": lambda writer, code: writer.rng.choice([char for char in _ALNUM if ord(char) != code]),
    "ANY": lambda writer, _: writer.rng.choice(_ALNUM),
    "IN": _Writer.one_of,
    "BRANCH": lambda writer, argument: writer.sequence(writer.rng.choice(argument[1])),
    "SUBPATTERN": _subpattern,
    "ATOMIC_GROUP": _Writer.sequence,
    "MAX_REPEAT": _repeat,
    "MIN_REPEAT": _repeat,
    "POSSESSIVE_REPEAT": _repeat,
    "GROUPREF": lambda writer, group: writer.groups.get(group, ""),
    "GROUPREF_EXISTS": _conditional,
}


def _members(members: Any) -> str:
    """The characters of a class to choose from: letters and digits if it has any, else printable ones."""
    tests = [(op.name, argument) for op, argument in members if op.name != "NEGATE"]
    wanted = len(tests) == len(members)
    candidates = _PRINTABLE + _FURTHER + "".join(_samples(tests))
    inside = [char for char in candidates if any(_MEMBER[op](char, arg) for op, arg in tests) is wanted]
    if not inside:
        raise _TooMuch
    tiers = ([char for char in inside if char in tier] for tier in (_ALNUM, _PRINTABLE))
    return "".join(next(filter(None, tiers), inside))


def _samples(tests: list[tuple[str, Any]]) -> Iterator[str]:
    """Characters of the ranges and literals outside of the printable ASCII ones."""
    for op, argument in tests:
        low, high = {"LITERAL": (argument, argument), "RANGE": argument}.get(op, (0, -1))
        yield from (chr(code) for code in range(max(low, 127), min(high, max(low, 127) + 25) + 1))


def _in_category(char: str, *name: str) -> bool:
    """`name` is ("DIGIT",) or ("NOT", "DIGIT")."""
    return _CATEGORY[name[-1]](char) is (len(name) == 1)


_MEMBER: dict[str, Callable[[str, Any], bool]] = {
    "LITERAL": lambda char, code: ord(char) == code,
    "RANGE": lambda char, ends: ends[0] <= ord(char) <= ends[1],
    "CATEGORY": lambda char, category: _in_category(char, *category.name.split("_")[1:]),
}

_CATEGORY: dict[str, Callable[[str], bool]] = {
    "DIGIT": str.isdigit,
    "SPACE": str.isspace,
    "WORD": lambda char: char.isalnum() or char == "_",
}
