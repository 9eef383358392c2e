"""Made-up names, addresses and words of many languages. The home of faker.

Its import costs 55 ms, so only functions do it. Everything derives from the seed alone. Faker's own date methods read
the clock; those that templates may use have stand-ins here, the others are refused.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faker import Faker as Faker

DEFAULT = "en_US"
_MOST = 10_000  # for a number given to a method: how many characters, items or digits
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
        return self._made[locale]


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
    "locales", "weights", "pyobject",
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

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name.startswith("_") or name not in methods():
            raise AttributeError(name)
        if self._fake is None:
            self._fake = self._make()
        fake = self._fake
        if name in _DATES:
            return lambda: _DATES[name](_moment(fake.random))
        return lambda *given, **named: _bounded(getattr(fake, name), given, named)


def _bounded(method: Callable[..., object], given: tuple[Any, ...], named: Mapping[str, Any]) -> object:
    for value in (*given, *named.values()):
        if isinstance(value, int) and value > _MOST and "int" not in getattr(method, "__name__", ""):
            raise ValueError(f"{value:,} is too much; {_MOST:,} at most")
    return method(*given, **named)
