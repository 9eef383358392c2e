"""Made-up texts: tables of "{slot}" templates and the prose they become, and texts of a kind: Markdown, Python code,
JSON, lists. Random only through the `Random` and the Faker that are given.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import cache, lru_cache
from random import Random
from typing import TYPE_CHECKING, TypeVar

from mock_server.protocol import tokens as token

if TYPE_CHECKING:
    from mock_server.scenario.generated.fakes import Faker


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
# the same for a text about something, and for a thought about it
_OPENINGS_ABOUT = (
    'You asked about "{about}".',
    'Here is where things stand on "{about}".',
    'I looked at "{about}", and there are a few points to settle.',
)
_THOUGHTS = (
    "I should look at the {adjective} {thing} first.",
    "The {adjective} {thing} comes before the {thing}.",
    "What is wanted is a short answer about the {thing}.",
)
_THOUGHTS_ABOUT = ('I am asked about "{about}".', 'What is wanted is "{about}".', 'First, "{about}": what do I know?')
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
    "Let me know which of these points you want to take up first.",
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
    ("url uri link href website webhook endpoint", "https://example.com/{noun}|https://example.com/{noun}/{count}"),
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
    return {word: value for words, value in rows for word in words.split()}


STRING_HINTS = _by_word(_STRING_ROWS)
NUMBER_HINTS = _by_word(_NUMBER_ROWS)
_MOST_LETTERS = 2_000  # of a name or a description that are looked at
# In a "city_name" or a "currency_code" the other word says more.
_VAGUE = ("name", "code", "address", "text")


def hint(hints: dict[str, _Hint], name: str, description: object) -> _Hint | None:
    """What a word of `name` (the last words first) or, failing that, of `description` suggests, if any."""
    words = _words(name[-_MOST_LETTERS:])[::-1]
    for word in ("_".join(words[::-1]), *(word for word in words if word not in _VAGUE), *words):
        if word in hints:
            return hints[word]
    spoken = _spoken(description[:_MOST_LETTERS]) if isinstance(description, str) else frozenset()
    return next((value for word, value in hints.items() if word in spoken), None)


@lru_cache(maxsize=64)  # every item of an array has the same
def _spoken(description: str) -> frozenset[str]:
    return frozenset(_words(description))


def _words(text: str) -> list[str]:
    """Lower-case words of a name in any case style, in the singular: "userIDs" gives user, id (and s)."""
    words = re.findall(r"[A-Z]+(?![a-rt-z])|[A-Z]?[a-z]+", text)
    return [re.sub(r"(?<=[^sui])s$", "", re.sub(r"ies$", "y", word.lower())) for word in words]


_SLOTS: dict[str, Callable[["Faker", Random], object]] = {
    "adjective": lambda fake, rng: rng.choice(ADJECTIVES),
    "byte": lambda fake, rng: rng.randint(1, 254),
    "city": lambda fake, rng: rng.choice(PLACES).split(",")[0],
    "color": lambda fake, rng: fake.safe_color_name(),
    "company": lambda fake, rng: fake.company(),
    "count": lambda fake, rng: rng.randint(2, 60),
    "country": lambda fake, rng: fake.country(),
    "date": lambda fake, rng: date(2026, 1, 1) + timedelta(days=rng.randrange(365)),
    "day": lambda fake, rng: rng.choice(DAYS),
    "first": lambda fake, rng: fake.first_name(),
    "hex": lambda fake, rng: f"{rng.getrandbits(32):08x}",
    "job": lambda fake, rng: fake.job(),
    "last": lambda fake, rng: fake.last_name(),
    "noun": lambda fake, rng: fake.word(part_of_speech="noun"),
    "place": lambda fake, rng: rng.choice(PLACES),
    "postcode": lambda fake, rng: fake.postcode(),
    "sentence": lambda fake, rng: Words(fake, rng.getrandbits(64)).prose(rng.randint(16, 32)),
    "state": lambda fake, rng: fake.state(),
    "street": lambda fake, rng: fake.street_address(),
    "thing": lambda fake, rng: rng.choice(THINGS),
    "time": lambda fake, rng: f"{rng.randrange(24):02}:{rng.choice((0, 15, 30, 45)):02}:00",
    "two": lambda fake, rng: rng.randint(10, 99),
    "user": lambda fake, rng: fake.user_name(),
    "uuid": lambda fake, rng: fake.uuid4(),
}
_SLOT = re.compile(r"\{(\w+)\}")


class Words:
    """Fills "{slot}" templates; a name in braces that is no slot stays as it is."""

    def __init__(self, fake: "Faker", seed: int) -> None:
        self.rng = Random(seed)
        self._fake = fake
        fake.seed_instance(seed)

    def pick(self, templates: Sequence[str]) -> str:
        return _SLOT.sub(self._slot, self.rng.choice(templates))

    def prose(self, tokens: int, about: str = "", *, thought: bool = False) -> str:
        """Whole sentences that fit into `tokens` tokens, in paragraphs. `about`: what the first one says that they are
        about (no braces).
        """
        openings = _OPENINGS_OF[thought, bool(about)]
        parts: list[str] = []
        deck: list[str] = []
        left, misses, room = tokens, 0, self.rng.randint(2, 4)
        while misses < 3:
            deck = deck or self.rng.sample(_SENTENCES, len(_SENTENCES))
            sentence = self.pick((deck.pop(),)) if parts else self.pick(openings).replace("{about}", about)
            gap = "" if not parts else " " if room else "\n\n"
            # Counts add up: a space counts with the word after it, a paragraph break counts as one.
            cost = token.count(sentence) + (gap == "\n\n")
            if cost > left:
                misses += 1
                continue
            parts += [gap, sentence]
            left -= cost
            room = room - 1 if room else self.rng.randint(2, 4)
        return "".join(parts) + _closing(self.rng, left, " " if parts else "")

    def _slot(self, found: re.Match[str]) -> str:
        fill = _SLOTS.get(found[1])
        return str(fill(self._fake, self.rng)) if fill else found[0]


# whether it is a thought, whether it is about something -> what it begins with
_OPENINGS_OF: Mapping[tuple[bool, bool], Sequence[str]] = {
    (False, False): _OPENINGS,
    (False, True): _OPENINGS_ABOUT,
    (True, False): _THOUGHTS,
    (True, True): _THOUGHTS_ABOUT,
}


def _closing(rng: Random, left: int, gap: str) -> str:
    """The longest line that fits, so that little of the budget is left."""
    lines = _CLOSINGS if gap or left > 4 else _PHRASES
    longest = max((cost for line in lines if (cost := _cost(line)) <= left), default=0)
    return gap + rng.choice([line for line in lines if _cost(line) == longest]) if longest else ""


@cache
def _cost(line: str) -> int:
    """The tokens of one of our own lines."""
    return token.count(line)


# -- texts of a kind: prose of any locale, Markdown, Python code, JSON, lists -----------------------------------------
#
# A text is put together from small pieces whose tokens are counted once each, so that it keeps to its length.

_MISSES = 6  # pieces that were too long, one after another, before the text ends


class _StyleWriter:
    """Makes the pieces of one text."""

    def __init__(self, fake: "Faker", rng: Random) -> None:
        self.fake = fake
        self.rng = rng

    def words(self, low: int, high: int) -> str:
        count = self.rng.randint(low, high)
        return " ".join(self.fake.words(nb=count)) if count else ""

    def name(self) -> str:
        """An identifier: words of other alphabets give none, so a plain one stands in."""
        words = [word for word in self.fake.words(nb=2) if word.isascii() and word.isalpha()]
        return "_".join([*words, self.rng.choice(("item", "total", "rows", "value", "result"))]).lower()

    def sentence(self) -> str:
        return str(self.fake.sentence(nb_words=self.rng.randint(4, 12)))

    def filled(self, pieces: Iterator[str], left: int) -> str:
        """As many pieces as fit, in order; one that does not fit is left out."""
        taken: list[str] = []
        misses = 0
        for piece in pieces:
            cost = token.count(piece)
            misses = misses + 1 if cost > left else 0
            if misses > _MISSES:
                break
            if not misses:
                taken.append(piece)
                left -= cost
        return "".join(taken)


def styled(style: str, fake: "Faker", rng: Random, tokens: int, about: str = "") -> str:
    """A text of at most `tokens` (>= 1) tokens, or few fewer; it begins with what it is `about` where there is room."""
    writer = _StyleWriter(fake, rng)
    begun = token.count(_ABOUT[style](about, "{}")) + 1 if about else 0  # the pieces may count one more together
    if begun and begun < tokens:
        text = _ABOUT[style](about, STYLES[style](writer, tokens - begun))
    else:
        text = STYLES[style](writer, tokens)
    while token.count(text) > tokens:  # pieces that meet may count one more together
        text = text.rsplit(" ", 1)[0] if " " in text else _SHORT[style]
        if text == _SHORT[style]:
            break
    return text or _SHORT[style]


def _endless(*makers: Callable[[], str]) -> Iterator[str]:
    while True:
        for make in makers:
            yield make()


# -- the styles -----------------------------------------------------------------------------------------------------


def _prose(writer: _StyleWriter, tokens: int) -> str:
    def piece() -> str:
        gap = "\n\n" if writer.rng.random() < 0.2 else " "
        return gap + writer.sentence()

    return _ended(writer, writer.filled(_endless(piece), tokens).strip(), tokens)


def _ended(writer: _StyleWriter, text: str, tokens: int) -> str:
    """A text with the rest of its length filled by single words."""
    left = tokens - token.count(text)
    if left < 2 and text:
        return text
    more = writer.filled((" " + writer.words(1, 1) for _ in range(4 * left)), left).strip()
    return f"{text} {more}".strip() if more else text


def _list(writer: _StyleWriter, tokens: int) -> str:
    return writer.filled(_endless(lambda: f"- {writer.words(2, 7)}\n"), tokens).rstrip("\n")


def _markdown(writer: _StyleWriter, tokens: int) -> str:
    def heading() -> str:
        return f"\n## {writer.words(2, 4).capitalize()}\n\n"

    def paragraph() -> str:
        return f"{writer.sentence()} **{writer.words(1, 2)}** {writer.sentence()} `{writer.name()}`.\n\n"

    def listed() -> str:
        numbered = writer.rng.random() < 0.5
        return "".join(f"{f'{at}.' if numbered else '-'} {writer.words(2, 6)}\n" for at in range(1, 4)) + "\n"

    def fenced() -> str:
        return f"```python\n{_statement(writer)}\n```\n\n"

    def table() -> str:
        rows = "".join(f"| {writer.words(1, 1)} | {writer.rng.randint(1, 99)} |\n" for _ in range(3))
        return f"| {writer.words(1, 1)} | {writer.words(1, 1)} |\n|---|---|\n{rows}\n"

    pieces = _endless(heading, paragraph, listed, paragraph, fenced, heading, paragraph, table, writer.sentence)
    return writer.filled(pieces, tokens).strip("\n") or writer.words(1, 1)


def _statement(writer: _StyleWriter) -> str:
    return f"{writer.name()} = {writer.rng.randint(1, 99)} * len({json.dumps(writer.words(1, 2))})"


def _code(writer: _StyleWriter, tokens: int) -> str:
    def function() -> str:
        name, argument = writer.name(), writer.rng.choice(("rows", "text", "items"))
        body = f'    """{writer.words(3, 6).capitalize()}."""\n    {_statement(writer)}\n    return {argument}\n'
        return f"def {name}({argument}):\n{body}\n\n"

    def statement() -> str:
        return _statement(writer) + "\n"

    def comment() -> str:
        return f"# {writer.words(2, 8)}\n"

    return writer.filled(_endless(comment, function, statement, function), tokens).rstrip("\n")


def _json(writer: _StyleWriter, tokens: int) -> str:
    """An array of objects, closed at any length."""
    frame = token.count('{"items": [\n]}') + 2

    def item() -> str:
        made = {
            "id": writer.rng.randint(1, 9_999),
            writer.name(): writer.words(1, 4),
            "done": writer.rng.random() < 0.5,
        }
        return "  " + json.dumps(made, ensure_ascii=False) + ",\n"

    def short() -> str:
        return f"  {writer.rng.randint(1, 99)},\n"

    items = writer.filled(_endless(item, item, short), tokens - frame)
    return '{"items": [\n' + items.rstrip(",\n") + "\n]}" if items else "0"


STYLES: Mapping[str, Callable[[_StyleWriter, int], str]] = {
    "prose": _prose,
    "markdown": _markdown,
    "code": _code,
    "json": _json,
    "list": _list,
}
# what such a text is about, before the text
_ABOUT: Mapping[str, Callable[[str, str], str]] = {
    "prose": lambda about, text: f'"{about}": {text}',
    "markdown": lambda about, text: f"# {about}\n\n{text}",
    "code": lambda about, text: f"# {about}\n{text}",
    "json": lambda about, text: f'{{"about": {json.dumps(about, ensure_ascii=False)}, {text[1:]}' if text[1:] else text,
    "list": lambda about, text: f"- {about}\n{text}",
}
_SHORT: Mapping[str, str] = {"prose": "Yes", "markdown": "Yes", "code": "pass", "json": "0", "list": "-"}
