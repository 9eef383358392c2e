"""Checks of single values, in Pydantic's words since the API speaks them. Each returns what is wrong, or None.

Those of objects also know their fields: `strangers` tells which of a value are none of them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[Any], "Finding | None"]
# what is wrong, and where below the value it was found ("" or ".budget_tokens")
Finding = tuple[str, str]
# where a field stands that nobody knows (".ttll"), and the fields that its object has
Stranger = tuple[str, frozenset[str]]


def strangers(check: Check, value: Any) -> Iterator[Stranger]:
    """The fields of a value, at any depth, that its check has no name for. The value need not have passed it."""
    look = getattr(check, "strangers", None)
    return iter(()) if look is None else look(value)


def _seeing(check: Check, look: Callable[[Any], Iterator[Stranger]]) -> Check:
    check.strangers = look  # type: ignore[attr-defined]
    return check


def _seen_by(check: Check, inner: Check) -> Check:
    """A check of what `inner` checks, or of something that has no fields."""
    look = getattr(inner, "strangers", None)
    return check if look is None else _seeing(check, look)


def string(value: Any) -> Finding | None:
    return None if isinstance(value, str) else ("", "Input should be a valid string")


def boolean(value: Any) -> Finding | None:
    return None if isinstance(value, bool) else ("", "Input should be a valid boolean")


def dictionary(value: Any) -> Finding | None:
    return None if isinstance(value, dict) else ("", "Input should be a valid dictionary")


def shaped(value: Any) -> Finding | None:
    """An object whose fields are told apart by name, or a schema."""
    return None if isinstance(value, dict) else ("", "Input does not match the expected shape.")


def union(value: Any) -> Finding | None:
    """An object whose `type` says what it is."""
    return None if isinstance(value, dict) else ("", "Input should be an object")


def array(value: Any) -> Finding | None:
    return None if isinstance(value, list) else ("", "Input should be a valid array")


def anything(value: Any) -> Finding | None:
    return None


def _passing(check: Check, kind: type | None) -> Check:
    """A check that every value of this very type passes, so that it need not be called for one."""
    check.passing = kind  # type: ignore[attr-defined]
    return check


for _check, _kind in ((string, str), (boolean, bool), (dictionary, dict), (array, list)):
    _passing(_check, _kind)


def nullable(check: Check) -> Check:
    made = _seen_by(lambda value: None if value is None else check(value), check)
    return _passing(made, getattr(check, "passing", None))


def integer(least: int | None = None) -> Check:
    def check(value: Any) -> Finding | None:
        if isinstance(value, str):
            return "", "Input should be a valid integer, unable to parse string as an integer"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "", "Input should be a valid integer"
        if value != value // 1:
            return "", "Input should be a valid integer, got a number with a fractional part"
        if least is not None and value < least:
            return "", f"Input should be greater than or equal to {least}"
        return None

    return check


def number(least: float, most: float) -> Check:
    def check(value: Any) -> Finding | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "", "Input should be a valid number"
        return None if least <= value <= most else ("", f"range: {least:g}..{most:g}")

    return check


def one_of(*allowed: str) -> Check:
    quoted = [f"'{name}'" for name in allowed]
    listed = " or ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
    return lambda value: None if value in allowed else ("", f"Input should be {listed}")


def pattern(regex: str) -> Check:
    compiled = re.compile(regex)

    def check(value: Any) -> Finding | None:
        if not isinstance(value, str):
            return string(value)
        return None if compiled.search(value) else ("", f"String should match pattern '{regex}'")

    return check


def string_or(check: Check) -> Check:
    return _passing(_seen_by(lambda value: None if isinstance(value, str) else check(value), check), str)


def items(check: Check) -> Check:
    """A list whose every item passes `check`."""

    def check_all(value: Any) -> Finding | None:
        if not isinstance(value, list):
            return array(value)
        for index, item in enumerate(value):
            if (found := check(item)) is not None:
                return f".{index}{found[0]}", found[1]
        return None

    def look(value: Any) -> Iterator[Stranger]:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from ((f".{index}{path}", known) for path, known in strangers(check, item))

    return _seeing(check_all, look) if hasattr(check, "strangers") else check_all


# field name -> (required, check)
Fields = Mapping[str, tuple[bool, Check]]


def record(fields: Fields, *, closed: bool = False, skip: str = "") -> Check:
    """An object with these fields; `closed` refuses others, except `skip` (the union tag)."""

    checks = {name: field for name, (_, field) in fields.items()}
    types = {name: getattr(field, "passing", None) for name, field in checks.items()}
    wanted = frozenset(name for name, (needed, _) in fields.items() if needed)

    def check(value: Any) -> Finding | None:
        if not isinstance(value, dict):
            return shaped(value)
        if value.keys() >= wanted:  # in most there is nothing to find, and to see that takes half the time
            for name, item in value.items():
                if name in types:
                    if type(item) is not types[name] and checks[name](item) is not None:
                        break
                elif closed and name != skip:
                    break
            else:
                return None
        for name, (needed, check_field) in fields.items():
            if name not in value:
                if needed:
                    return f".{name}", "Field required"
            elif (found := check_field(value[name])) is not None:
                return f".{name}{found[0]}", found[1]
        if closed:
            for name in value:
                if name not in fields and name != skip:
                    return f".{name}", "Extra inputs are not permitted"
        return None

    known = frozenset((*fields, skip) if skip else fields)
    deeper = [(name, field) for name, (_, field) in fields.items() if hasattr(field, "strangers")]

    def look(value: Any) -> Iterator[Stranger]:
        if not isinstance(value, dict):
            return
        if not value.keys() <= known:
            yield from ((f".{name}", known) for name in value if name not in known)
        for name, field in deeper:
            if name in value:
                yield from ((f".{name}{path}", names) for path, names in strangers(field, value[name]))

    return _seeing(check, look) if known else check  # of one without fields nothing is known


def tagged(variants: Mapping[str, Check]) -> Check:
    """A union told apart by `type`; the tag stands in the path of what is found."""
    expected = ", ".join(f"'{tag}'" for tag in sorted(variants))

    def check(value: Any) -> Finding | None:
        if not isinstance(value, dict):
            return union(value)
        tag = value.get("type")
        if tag is None:
            return ".type", "Field required"
        variant = variants.get(tag) if isinstance(tag, str) else None
        if variant is None:
            return "", (f"Input tag '{tag}' found using 'type' does not match any of the expected tags: {expected}")
        found = variant(value)
        return None if found is None else (f".{tag}{found[0]}", found[1])

    def look(value: Any) -> Iterator[Stranger]:
        tag = value.get("type") if isinstance(value, dict) else None
        variant = variants.get(tag) if isinstance(tag, str) else None
        return iter(()) if variant is None else strangers(variant, value)

    return _seeing(check, look)


def cache_control(*, closed: bool, scoped: bool = False) -> Check:
    """A mark for the prompt cache: `type` and a `ttl` of `5m` or `1h` (rules 120 and 121).

    `scoped`: a beta lets it have a scope.
    """
    fields = {"ttl": optional(nullable(one_of("5m", "1h")))}
    if scoped:
        fields["scope"] = optional(nullable(string))
    return tagged({"ephemeral": record(fields, closed=closed, skip="type")})


def required(check: Check) -> tuple[bool, Check]:
    return True, check


def optional(check: Check) -> tuple[bool, Check]:
    return False, check
