"""What generated text is made of: tables of "{slot}" templates (generate.py fills the slots) and the prose they become.

Knows nothing of JSON Schema or Faker; random only through the `Random` it is given.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from random import Random
from typing import TypeVar

from mock_server.protocol import tokens as token

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
_THOUGHTS_ABOUT = (
    'I am asked about "{about}".',
    'What is wanted is "{about}".',
    'First, "{about}": what do I know?',
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


def openings(about: str, *, thought: bool = False) -> Sequence[str]:
    """What a text or a thought begins with; one that is `about` something says where: `{about}`."""
    if not about:
        return _THOUGHTS if thought else _OPENINGS
    return _THOUGHTS_ABOUT if thought else _OPENINGS_ABOUT


def prose(
    pick: Callable[[Sequence[str]], str],
    rng: Random,
    tokens: int,
    openings: Sequence[str] = _OPENINGS,
    about: str = "",
) -> str:
    """Whole sentences that fit into `tokens` tokens, in paragraphs; `pick` fills one of some templates. `about`: what
    the first one is about (no braces), where its opening says so.
    """
    parts: list[str] = []
    deck: list[str] = []
    left, misses, room = tokens, 0, rng.randint(2, 4)
    while misses < 3:
        deck = deck or rng.sample(_SENTENCES, len(_SENTENCES))
        sentence = pick((deck.pop(),)) if parts else pick(openings).replace("{about}", about)
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
    longest = max((cost for line in lines if (cost := _cost(line)) <= left), default=0)
    return gap + rng.choice([line for line in lines if _cost(line) == longest]) if longest else ""


@cache
def _cost(line: str) -> int:
    """The tokens of one of our own lines."""
    return token.count(line)
