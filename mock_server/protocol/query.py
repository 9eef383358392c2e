"""A query string -> the values an endpoint knows, checked. To add a parameter, add a row to the endpoint's table.

Lists come as the SDKs send them: `ids[]=a&ids[]=b`; `ids=a&ids=b` says the same. Every other name or value is a 400,
in the words of Pydantic [INF]. `beta` has no effect anywhere: older SDKs send `?beta=true`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qsl

from mock_server.protocol.errors import excerpt, invalid

MAX_FIELDS = 1000
_T = TypeVar("_T")


class Parameter(Protocol):
    """Reads the values of one name; `several`: whether it may have more than one."""

    @property
    def several(self) -> bool: ...
    def read(self, name: str, values: Sequence[str]) -> Any: ...


class TextParameter(NamedTuple):
    """Any text; None when it is not given."""

    several: bool = False

    def read(self, name: str, values: Sequence[str]) -> str | None:
        return values[0] if values and values[0] else None


class Whole(NamedTuple):
    """A whole number of a range."""

    least: int
    most: int
    default: int
    several: bool = False

    def read(self, name: str, values: Sequence[str]) -> int:
        if not values:
            return self.default
        text = values[0].removeprefix("-")
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise invalid(f"{name}: Input should be a valid integer, unable to parse string as an integer")
        number = int(values[0])
        if number < self.least:
            raise invalid(f"{name}: Input should be greater than or equal to {self.least}")
        if number > self.most:
            raise invalid(f"{name}: Input should be less than or equal to {self.most}")
        return number


class Several(NamedTuple):
    """Any number of texts, in order, or at most `most`; of `choices` when there are some."""

    choices: tuple[str, ...] = ()
    most: int | None = None
    several: bool = True

    def read(self, name: str, values: Sequence[str]) -> tuple[str, ...]:
        if self.most is not None and len(values) > self.most:
            raise invalid(f"{name}: List should have at most {self.most} items after validation, not {len(values)}")
        for at, text in enumerate(values):
            if self.choices and text not in self.choices:
                *rest, last = [f"'{one}'" for one in self.choices]
                raise invalid(f"{name}.{at}: Input should be {', '.join(rest)}{' or ' if rest else ''}{last}")
        return tuple(values)


# the parameters of lists by id: docs/protocol.md F.6
PAGE: Mapping[str, Parameter] = {"limit": Whole(1, 1000, 20), "after_id": TextParameter(), "before_id": TextParameter()}


def read_query(query: str, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """A value for every known parameter. Raises ApiError (400) for what is unknown, wrong, or given twice."""
    values: dict[str, list[str]] = {name: [] for name in known}
    for name, value in _fields(query):
        base = name.removesuffix("[]")
        if base == "beta":
            continue
        parameter = known.get(base)
        if parameter is None or (base != name and not parameter.several):
            raise invalid(f"{_short(name)}: Extra inputs are not permitted")
        values[base].append(value)
        if len(values[base]) > 1 and not parameter.several:
            raise invalid(f"{name}: only one value is permitted")
    return {name: parameter.read(name, values[name]) for name, parameter in known.items()}


def _fields(query: str) -> Sequence[tuple[str, str]]:
    if not query:
        return ()
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except UnicodeError:
        raise invalid("The query is not valid UTF-8") from None
    except ValueError:
        raise invalid(f"The query has more than {MAX_FIELDS} parameters") from None


def id_page(
    items: Mapping[str, _T], query: Mapping[str, Any], view: Callable[[_T], Mapping[str, Any]]
) -> dict[str, Any]:
    """One page of `items` (by id, in the order they are listed in), as a query with the parameters of PAGE wants it.

    `before_id` gives the items just before that one, still in the list's order; `has_more` then is about those
    before them. Raises ApiError (400) for an id that is not in the list [INF].
    """
    ids = list(items)
    after, before, limit = query["after_id"], query["before_id"], query["limit"]
    if after is not None and before is not None:
        raise invalid("Only one of `after_id` and `before_id` may be given")
    for name in ("after_id", "before_id"):
        if query[name] is not None and query[name] not in items:
            raise invalid(f"{name}: there is no '{_short(query[name])}' in this list")
    start = 0 if after is None else ids.index(after) + 1
    end = len(ids) if before is None else ids.index(before)
    page = ids[max(start, end - limit) : end] if before is not None else ids[start : start + limit]
    return {
        "data": [view(items[id]) for id in page],
        "has_more": end - start > len(page),
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }


def _short(text: str) -> str:
    return excerpt(text, 100)
