"""Checks of single values, in Pydantic's words since the API speaks them. Each returns what is wrong, or None."""

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], "Finding | None"]
# what is wrong, and where below the value it was found ("" or ".budget_tokens")
Finding = tuple[str, str]


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


def nullable(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


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
    return lambda value: None if isinstance(value, str) else check(value)


def items(check: Check) -> Check:
    """A list whose every item passes `check`."""

    def check_all(value: Any) -> Finding | None:
        if not isinstance(value, list):
            return array(value)
        for index, item in enumerate(value):
            if (found := check(item)) is not None:
                return f".{index}{found[0]}", found[1]
        return None

    return check_all


# field name -> (required, check)
Fields = Mapping[str, tuple[bool, Check]]


def record(fields: Fields, *, closed: bool = False, skip: str = "") -> Check:
    """An object with these fields; `closed` refuses others, except `skip` (the union tag)."""

    def check(value: Any) -> Finding | None:
        if not isinstance(value, dict):
            return shaped(value)
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

    return check


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

    return check


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
