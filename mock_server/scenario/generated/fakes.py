"""Made-up names, addresses and words of many languages. The home of faker.

Its import costs 55 ms, so only functions do it. Everything derives from the seed alone. Faker's own date methods read
the clock; those that templates may use have stand-ins here, the others are refused.
"""

import inspect
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faker import Faker as Faker

DEFAULT = "en_US"
_START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Fakes:
    """One Faker a locale, made when first asked for and seeded anew for each use."""

    def __init__(self) -> None:
        self._made: dict[str, Faker] = {}

    def seeded(self, seed: int, locale: str = DEFAULT) -> "Faker":
        fake = self.of(locale)
        fake.seed_instance(seed)
        return fake

    def of(self, locale: str = DEFAULT) -> "Faker":
        if locale not in self._made:
            from faker import Faker

            self._made[locale] = Faker(locale)
            if locale == DEFAULT:
                _quicken(self._made[locale])
        return self._made[locale]


def _quicken(fake: "Faker") -> None:
    """Draw first and last names from sums of their weights that are made once: the same names, in a tenth of the time
    that Faker takes to sum up a thousand weights for each.
    """
    [generator] = fake.factories
    for method in ("first_name", "last_name"):
        weights = getattr(getattr(generator, method).__self__, f"{method}s")
        if isinstance(weights, dict):
            generator.set_formatter(method, _weighted(generator, weights))


def _weighted(generator: Any, weights: Mapping[str, float]) -> Callable[[], str]:
    names, sums = tuple(weights), list(accumulate(weights.values()))
    total, last = sums[-1], len(sums) - 1

    def draw() -> str:
        return names[bisect(sums, generator.random.random() * total, 0, last)]

    return draw


@cache
def locales() -> frozenset[str]:
    """Every locale there are words for."""
    from faker.config import AVAILABLE_LOCALES

    return frozenset(AVAILABLE_LOCALES)


def _moment(rng: Random) -> datetime:
    return _START + timedelta(seconds=rng.randrange(365 * 86_400))


# what the clock would decide otherwise: a moment of one fixed year
_DATES: Mapping[str, Callable[[datetime], object]] = {
    "date": lambda at: at.date().isoformat(),
    "time": lambda at: at.time().isoformat(),
    "date_time": lambda at: at,
    "iso8601": lambda at: at.isoformat(),
    "year": lambda at: str(at.year),
    "month": lambda at: f"{at:%m}",
    "month_name": lambda at: f"{at:%B}",
    "day_of_week": lambda at: f"{at:%A}",
    "day_of_month": lambda at: f"{at:%d}",
    "unix_time": lambda at: int(at.timestamp()),
}
# what makes files, keeps state or reads the clock behind another name
# fmt: off
_REFUSED = frozenset((
    "binary", "csv", "dsv", "fixed_width", "image", "json", "json_bytes", "psv", "tar", "tsv", "xml", "zip",
    "unique", "optional", "seed", "seed_instance", "seed_locale", "add_provider", "set_formatter",
    "get_formatter", "get_providers", "provider", "format", "parse", "del_arguments", "get_arguments",
    "set_arguments", "enum", "profile", "simple_profile", "credit_card_expire", "credit_card_full",
    "passport_full", "passport_dates", "passport_dob", "random", "items", "factories", "generator_attrs",
    "locales", "weights", "pyobject", "pystr_format", "providers",
))
# fmt: on


@cache
def methods() -> frozenset[str]:
    """The names that `fake.NAME()` may have in a template."""
    from faker.providers.date_time import Provider

    every = {name for name in dir(Fakes().of().factories[0]) if not name.startswith("_")}
    clocked = {name for name in dir(Provider) if not name.startswith("_")} - {"timezone", "century", "pytimezone"}
    clocked -= {name for name in clocked if name.startswith(("random_", "numerify", "bothify", "lexify", "hexify"))}
    clocked -= {"locale", "language_code"}
    return frozenset((every - clocked - _REFUSED) | set(_DATES))


class Fake:
    """`fake` inside a template: `{{ fake.name() }}`, drawn from the seed of its request."""

    def __init__(self, make: Callable[[], "Faker"]) -> None:
        self._make = make
        self._fake: Faker | None = None

    def __getattr__(self, name: str) -> "Faked":
        if name.startswith("_") or name not in methods():
            raise AttributeError(name)
        if self._fake is None:
            self._fake = self._make()
        fake = self._fake
        if name in _DATES:
            return Faked(name, lambda: _DATES[name](_moment(fake.random)))
        return Faked(name, getattr(fake, name))


# the steps that a call takes, beside those for what it makes
_CALL = 50
# method -> (the argument that sets its size and that argument's default, the steps that one of that size takes)
_SIZES: Mapping[str, tuple[Mapping[str, int], float]] = {
    "paragraph": ({"nb_sentences": 3}, 25),
    "paragraphs": ({"nb": 3}, 80),
    "password": ({"length": 10}, 2),
    "pydict": ({"nb_elements": 10}, 100),
    "pyiterable": ({"nb_elements": 10}, 100),
    "pylist": ({"nb_elements": 10}, 100),
    "pyset": ({"nb_elements": 10}, 100),
    "pystr": ({"max_chars": 20}, 1),
    "pystruct": ({"count": 10}, 500),
    "pytuple": ({"nb_elements": 10}, 100),
    "random_choices": ({"length": 10}, 2),
    "random_elements": ({"length": 10}, 5),
    "random_letters": ({"length": 16}, 1),
    "random_sample": ({"length": 10}, 5),
    "sentence": ({"nb_words": 6}, 4),
    "sentences": ({"nb": 3}, 25),
    "text": ({"max_nb_chars": 200}, 0.6),
    "texts": ({"nb_texts": 3, "max_nb_chars": 200}, 1),
    "words": ({"nb": 3}, 2),
}
_SLOW: Mapping[str, int] = {"ipv4_public": 1_500, "pytimezone": 500, "domain_name": 500, "ascii_company_email": 500}
# numbers that say which, not how many
_VALUES = frozenset(("center", "max", "max_value", "min", "min_value", "radius", "step", "width", "height", "value"))
_MOST = 10_000  # characters, words or items in all
_MOST_ELSEWHERE = 100  # for any other number
_LONGEST = 1_000  # characters of a text, or items of a list, that a method is given


class Faked:
    """A method of `fake`. `price` is asked before each call."""

    __slots__ = ("_method", "_name")

    def __init__(self, name: str, method: Callable[..., object]) -> None:
        self._name = name
        self._method = method

    def __call__(self, *args: Any, **kwargs: Any) -> object:
        return self._method(*args, **kwargs)

    def price(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        """The steps that a call with these arguments takes. Raises ValueError for arguments that no call may have."""
        sizes, each = _SIZES.get(self._name, ({}, 0))
        arguments = (
            {**dict(zip(inspect.signature(self._method).parameters, args, strict=False)), **kwargs}
            if args or kwargs
            else {}
        )
        if len(arguments) != len(args) + len(kwargs):
            raise ValueError(f"fake.{self._name} is not given so many values")
        for name, value in arguments.items():
            _judge(name, value, _MOST if name in sizes or name in _VALUES else _MOST_ELSEWHERE)
        size = 1
        for name, usual in sizes.items():
            value = arguments.get(name, usual)
            size *= value if isinstance(value, int) else usual
        if size > _MOST:
            raise ValueError(f"{size:,} is too much; {_MOST:,} at most")
        return _CALL + _SLOW.get(self._name, 0) + int(size * each)


def _judge(name: str, value: Any, most: int) -> None:
    """One argument: a number within bounds, a short text, or a short list of these. Raises ValueError."""
    if isinstance(value, str | list | tuple):
        if len(value) > _LONGEST:
            raise ValueError(f"{name} of a fake method has {len(value):,} characters or items; {_LONGEST:,} at most")
        for item in () if isinstance(value, str) else value:
            if not isinstance(item, str | int | float) or len(str(item)) > 100:
                raise ValueError(f"{name} of a fake method is a list of short words and numbers")
    elif not isinstance(value, bool | float | None):
        if not isinstance(value, int):
            raise ValueError(f"{name} of a fake method is a number, a text or a list of these")
        if name not in _VALUES and abs(value) > most:
            raise ValueError(f"{value:,} is too much; {most:,} at most")
        if value.bit_length() > 64:
            raise ValueError(f"{name} of a fake method has at most 64 bits")
