"""JSON values that fit a client's schema, by walking it. Random only through the seed.

What texts are made of stands in words.py, strings for regular expressions in pattern.py. Nothing here judges a value:
the checker does.
"""

import copy
import hashlib
import itertools
import json
import math
import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote

from mock_server.protocol.json_schema import Checker, SchemaProblem
from mock_server.protocol.json_schema import size as value_size
from mock_server.scenario.generated import pattern
from mock_server.scenario.generated.words import FORMATS, NUMBER_HINTS, STRING_HINTS, Words, hint

if TYPE_CHECKING:
    from fractions import Fraction

    from mock_server.scenario.generated.fakes import Faker


# -- JSON Schema as those read it who make values: following a local `$ref`, merging two schemas into one -------------

Schema = dict[str, Any]
_Kind = TypeVar("_Kind", list[Any], dict[str, Any], int)

_MOST_HOPS = 32
_FAR = 1_000
_COPIED_PER_STEP = 20  # parts of a schema, or of a value, that are copied for the price of a subschema
_WIDTH_PER_STEP = 50  # parts of a subschema that are looked at for its price
_CHOICES = {"$ref", "allOf", "anyOf", "oneOf", "if", "then", "else"}
_APPLICATORS = _CHOICES | {"not", "const", "$schema", "$defs", "definitions"}


def resolve(root: object, ref: object) -> object:
    """The subschema a local `$ref` names ("#", "#/$defs/x"); True, which allows all, for any other."""
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
        return True
    node = root
    for part in unquote(ref[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            node = node.get(key, True) if isinstance(node, dict) else True
    return node


def merge(first: Schema, second: Schema) -> Schema:
    """One schema that asks for what both ask for; of two titles, defaults or formats the first one's stays.

    Meant for schemas without `$ref` and the `allOf` family at their top level: of those the first stays too.
    """
    merged = {**first, **second, **first}
    for key in first.keys() & second.keys() & _COMBINE.keys():
        # A broken schema has values of the wrong type here; it gets the first one's.
        with suppress(TypeError, AttributeError, ValueError):
            merged[key] = _COMBINE[key](first[key], second[key])
    return merged


def typed(schema: Schema, key: str, kind: type[_Kind]) -> _Kind:
    """`schema[key]`, or an empty `kind()` where it is missing or, in a broken schema, of another type."""
    value = schema.get(key)
    return value if isinstance(value, kind) else kind()


def strings(schema: Schema, key: str) -> list[str]:
    """The strings of the list `schema[key]`, each once."""
    return list(dict.fromkeys(item for item in typed(schema, key, list) if isinstance(item, str)))


def number(schema: Schema, key: str) -> "Fraction | None":
    """`schema[key]` as the decimal number it was written as; None where there is no finite number."""
    value = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value - value != 0:
        return None
    from fractions import Fraction  # only bounds need it

    return Fraction(str(value))


def bounds(schema: Schema) -> "tuple[Fraction | None, Fraction | None]":
    """The lowest and highest number, themselves allowed unless exclusive; None for no bound."""
    lows = [low for key in ("minimum", "exclusiveMinimum") if (low := number(schema, key)) is not None]
    highs = [high for key in ("maximum", "exclusiveMaximum") if (high := number(schema, key)) is not None]
    return max(lows, default=None), min(highs, default=None)


def in_bounds(schema: Schema, value: float) -> bool:
    """Whether a number keeps to the bounds and to `multipleOf`, as the validator will reckon it."""
    multiple = schema.get("multipleOf")
    # The validator divides floats, which a correctly rounded multiple of 0.01 does not always survive.
    even = not isinstance(multiple, float) or multiple == 0 or (value / multiple).is_integer()
    limits = [(keeps, number(schema, key)) for key, keeps in _BOUNDS.items()]
    return even and all(limit is None or keeps(value, limit) for keeps, limit in limits)


def size(schema: Schema, key: str, default: int) -> int:
    """`schema[key]` as a whole number that is at least 0."""
    value = number(schema, key)
    return default if value is None else max(0, math.ceil(value))


def listed(value: object) -> list[Any]:
    """`value` as a list: JSON Schema allows a single type where a list of them may stand."""
    return value if isinstance(value, list) else [value]


def _both(first: object, second: object) -> Schema:
    return {"allOf": [first, second]}


def _both_maps(first: Schema, second: Schema) -> Schema:
    return {**first, **second, **{key: _both(first[key], second[key]) for key in first if key in second}}


def _both_tuples(first: list[Any], second: list[Any]) -> list[Any]:
    return [_both(*pair) for pair in itertools.zip_longest(first, second, fillvalue=True)]


def _both_types(first: object, second: object) -> list[Any]:
    ours, theirs = listed(first), listed(second)
    narrowed = ["integer"] if {"integer", "number"} <= {*ours, *theirs} else []
    return list(dict.fromkeys([kind for kind in ours if kind in theirs] + narrowed))


def _shared(first: list[Any], second: list[Any]) -> list[Any]:
    """The values that both have, equal as JSON has it."""
    there = set(map(_SORTED.encode, second))
    return [value for value in first if _SORTED.encode(value) in there]


_SORTED = json.JSONEncoder(sort_keys=True)


def _union(first: list[Any], second: list[Any]) -> list[Any]:
    return list(dict.fromkeys(first + second))


def _unions(first: Schema, second: Schema) -> Schema:
    return {key: _union(first.get(key, []), second.get(key, [])) for key in {**first, **second}}


_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
}
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_ONE = ("items", "additionalProperties", "contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties")

_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(_LEAST, max),
    **dict.fromkeys(_MOST, min),
    **dict.fromkeys(_ONE, _both),
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), _both_maps),
    "dependentRequired": _unions,
    "required": _union,
    "prefixItems": _both_tuples,
    "type": _both_types,
    "enum": _shared,
    "multipleOf": math.lcm,
    "uniqueItems": lambda first, second: first or second,
}


def _width(schema: object) -> int:
    """How many parts the lists and mappings of a schema have, without what is inside of these."""
    if not isinstance(schema, dict):
        return 0
    return sum(len(one) for one in schema.values() if isinstance(one, dict | list))


class Flattener:
    """Rewrites one schema's parts as plain schemas: `$ref`, `allOf`, `anyOf`, `oneOf` and `if` merged in.

    `choose` picks one of the alternatives (a non-empty list); `step` is called for every subschema visited, with what
    it costs, and stops the work, when there is too much of it, by raising.
    """

    def __init__(self, root: object, choose: Callable[[list[object]], object], step: Callable[[int], None]) -> None:
        self._root = root
        self._choose = choose
        self._step = step
        self._reached: dict[tuple[int, int], tuple[Schema, int]] = {}

    def flat(self, schema: object, hops: int = 0) -> Schema:
        """A schema with `const` as an `enum` of one, an empty `enum` for False, {} for a broken schema."""
        self._step(1 + _width(schema) // _WIDTH_PER_STEP)
        if not isinstance(schema, dict) or hops > _MOST_HOPS:
            return {"enum": []} if schema is False else {}
        merged = {key: sub for key, sub in schema.items() if key not in _APPLICATORS}
        if "const" in schema:
            merged = merge({"enum": [schema["const"]]}, merged)
        for part in self._parts(schema):
            more = self.flat(part, hops + 1)
            self._step((_width(merged) + _width(more)) // _COPIED_PER_STEP)
            merged = merge(merged, more)
        return merged

    def _always(self, schema: Schema) -> Iterator[object]:
        """The schemas that a value has to fit in any case."""
        if "$ref" in schema:
            yield resolve(self._root, schema["$ref"])
        yield from typed(schema, "allOf", list)

    def _parts(self, schema: Schema) -> Iterator[object]:
        yield from self._always(schema)
        for key in ("anyOf", "oneOf"):
            if branches := typed(schema, key, list):
                yield self._choose(branches)
        if "if" in schema:
            then = _both(schema["if"], schema.get("then", True))
            yield self._choose([schema.get("else", True), then])

    def reach(self, schema: object, fuel: int = 6) -> int:
        """How many levels the shallowest value of `schema` has, as far as `fuel` levels tell."""
        if not isinstance(schema, dict) or fuel == 0:
            return 0 if fuel else _FAR
        # The schema is kept with its answer so that its id stays its own.
        kept = self._reached.get((id(schema), fuel))
        if kept is None:
            self._step(1 + _width(schema) // _WIDTH_PER_STEP)
            kept = self._reached[id(schema), fuel] = (schema, self._levels(schema, fuel))
        return kept[1]

    def _levels(self, schema: Schema, fuel: int) -> int:
        levels = [1 + self.reach(part, fuel - 1) for part in self._needed(schema)]
        for branches in (typed(schema, "anyOf", list), typed(schema, "oneOf", list)):
            levels += [min(self.reach(branch, fuel - 1) for branch in branches)] if branches else []
        return max(levels, default=0)

    def _needed(self, schema: Schema) -> Iterator[object]:
        yield from self._always(schema)
        properties = typed(schema, "properties", dict)
        yield from (properties.get(name, True) for name in strings(schema, "required"))
        if typed(schema, "minItems", int):
            yield schema.get("items", True)


# -- the values -----------------------------------------------------------------------------------------------------

TRIES = 20
_MOST_STEPS = 1_500  # in all tries of one value together: a subschema that is visited, or what has its price below
_LETTERS_PER_STEP = 60  # of a sentence
_CHARACTERS_PER_STEP = 150  # of prose
_PATTERNS_PER_STEP = 3  # that a property's name is compared with
_JUDGED_PER_STEP = 5  # values of an enum
_PER_MISS = 2  # steps of an item that is made once more, as it was there already
_BITS_PER_STEP = 400  # of a number and its bounds
_MOST_ITEMS = 1_000
_MOST_OPTIONAL = 100  # properties of an object, or items of an array, that need not be there
_MOST_CHARACTERS = 100_000
_DEEP = 4  # from here on only what is required, and the branch that ends soonest
_DEEPEST = 64


class CannotGenerate(ValueError):
    """No value was found for the schema. The message is one line "$.path: reason"."""


def number_of(seed: bytes) -> int:
    return int.from_bytes(hashlib.sha256(seed).digest(), "big")


class _Place(NamedTuple):
    """Where in the value the walk is: "$.days[0]", the property's name, levels down, place in its array."""

    path: str = "$"
    name: str = ""
    depth: int = 0
    nth: int = 0

    def key(self, name: str) -> "_Place":
        return _Place(f"{self.path}.{name}", name, self.depth + 1)

    def item(self, nth: int) -> "_Place":
        return _Place(f"{self.path}[{nth}]", self.name, self.depth + 1, nth)


class Maker:
    """The tries at one value: they differ in the optional parts they take; later ones use no examples."""

    def __init__(self, schema: object, checker: Checker | None, fake: "Faker") -> None:
        self._schema = schema
        self.checker = checker
        self._fake = fake
        self._flattener = Flattener(schema, self._choose, self.step)
        self._left = _MOST_STEPS
        self._turn = 0
        self._deep = False
        self.words = Words(fake, 0)

    def attempt(self, seed: int, turn: int) -> tuple[object, str]:
        """A value and what is wrong with it ("" when nothing is). Raises CannotGenerate."""
        self.words, self._turn = Words(self._fake, seed), turn
        try:
            made = self.make(self._schema, _Place())
        except (ArithmeticError, RecursionError) as error:
            raise CannotGenerate(f"$: {type(error).__name__}") from error
        try:
            found = self.checker.violations(made, limit=1) if self.checker else []
        except SchemaProblem:
            found = []
        return made, found[0] if found else ""

    def make(self, schema: object, at: _Place) -> object:
        if at.depth > _DEEPEST:
            raise CannotGenerate(f"$: the schema asks for a value of more than {_DEEPEST} levels")
        flat = self.flat(schema, at)
        if flat.get("enum") == []:
            raise CannotGenerate(f"{at.path}: no value is allowed here")
        for offered in self._offers(flat, at):
            self.step(value_size(offered, _COPIED_PER_STEP * _MOST_STEPS) // _COPIED_PER_STEP)
            return copy.deepcopy(offered)
        return _KINDS[self._kind(flat, at)](self, flat, at)

    def member(self, flat: Schema, name: str) -> object:
        """The schema that the value of a property has to fit."""
        own = typed(flat, "properties", dict)
        parts = [own[name]] if name in own else []
        by_name = typed(flat, "patternProperties", dict)
        self.step(len(by_name) // _PATTERNS_PER_STEP)
        parts += [by_name[regex] for regex in by_name if pattern.fits(regex, name)]
        others = flat.get("additionalProperties", flat.get("unevaluatedProperties", True))
        return parts[0] if len(parts) == 1 else {"allOf": parts} if parts else others

    def few(self, at: _Place, most: int) -> int:
        """How many optional things to add: none deep down or on every fourth try."""
        return 0 if at.depth >= _DEEP or self._turn % 4 == 2 else self.words.rng.randint(1, most)

    def likely(self, at: _Place) -> bool:
        """Whether to take an optional property."""
        share = (0.85, 0.5, 0.0, 1.0)[self._turn % 4]
        return at.depth < _DEEP and self.words.rng.random() < share / (1 + 0.5 * at.depth)

    @property
    def is_spent(self) -> bool:
        """Whether no work is left for another try."""
        return self._left < 0

    def step(self, steps: int = 1) -> None:
        """Take account of work. Raises CannotGenerate."""
        self._left -= steps
        if self._left < 0:
            raise CannotGenerate(f"$: making a value takes more than {_MOST_STEPS:,} steps")

    def flat(self, schema: object, at: _Place) -> Schema:
        self._deep = at.depth >= _DEEP
        return self._flattener.flat(schema)

    def _choose(self, branches: list[object]) -> object:
        if self._deep:
            reached = [self._flattener.reach(branch) for branch in branches]
            least = min(reached)
            branches = [branch for branch, far in zip(branches, reached, strict=True) if far == least]
        return self._rather(branches, {"type": "null"})

    def _rather(self, options: list[Any], unlikely: object) -> Any:
        likely = [option for option in options if option != unlikely]
        rng = self.words.rng
        return rng.choice(likely if likely and rng.random() < 0.9 else options)

    def _offers(self, flat: Schema, at: _Place) -> Iterator[object]:
        """Values the schema itself names: an example, the default, one of the enum."""
        if self._turn < 4:
            examples = typed(flat, "examples", list)[at.nth : at.nth + 1]
            # A null default means "leave it out", which shows nothing.
            defaults = [] if at.nth or flat.get("default") is None else [flat["default"]]
            yield from (value for value in examples + defaults if self._accepts(flat, value))
        if values := typed(flat, "enum", list):
            # Nearly always all of them fit, so the first try does not ask.
            self.step(len(values) // _JUDGED_PER_STEP if self._turn else 0)
            fitting = [value for value in values if self._turn == 0 or self._accepts(flat, value)]
            yield self._rather(fitting or values, None)

    def _accepts(self, flat: Schema, value: object) -> bool:
        return self.checker is None or self.checker.accepts(flat, value)

    def _kind(self, flat: Schema, at: _Place) -> str:
        named = [kind for kind in _KINDS if kind in listed(flat.get("type"))]
        if named:
            return str(self._rather(named, "null"))
        if at.depth == 0:
            return "object"
        clues = [kind for kind, keys in _CLUES.items() if not keys.isdisjoint(flat)] or ["string"]
        return clues[0] if self._turn < 4 else self.words.rng.choice(list(_KINDS))


def _object(maker: Maker, flat: Schema, at: _Place) -> object:
    names = _names(maker, flat, at)
    dependents = typed(flat, "dependentSchemas", dict)
    if parts := [dependents[name] for name in names if name in dependents]:
        flat = maker.flat({"allOf": [flat, *parts]}, at)
        names = list(dict.fromkeys([*names, *strings(flat, "required")]))
    return {name: maker.make(maker.member(flat, name), at.key(name)) for name in names}


def _names(maker: Maker, flat: Schema, at: _Place) -> list[str]:
    """The properties to give: the required ones in the schema's order, some optional ones, made-up ones."""
    own, required = typed(flat, "properties", dict), dict.fromkeys(strings(flat, "required"))
    names = [name for name in own if name in required] + [name for name in required if name not in own]
    room = max(0, size(flat, "maxProperties", len(own) + len(names)) - len(names))
    likely = {name: maker.likely(at) for name in own if name not in required and own[name] is not False}
    room = min(room, max(_MOST_OPTIONAL, size(flat, "minProperties", 0) - len(names)))
    count = max(sum(likely.values()), size(flat, "minProperties", 0) - len(names))
    taken = set(sorted(likely, key=lambda name: not likely[name])[: min(count, room)])
    names += [name for name in likely if name in taken]
    needs = typed(flat, "dependentRequired", dict)
    maker.step(_width(needs) // _WIDTH_PER_STEP)
    known = set(names)
    for name in names if needs else []:  # grows as it goes: what is needed can need more
        more = [other for other in strings(needs, name) if other not in known]
        names += more
        known.update(more)
    return names + _made_up(maker, flat, at, names)


def _made_up(maker: Maker, flat: Schema, at: _Place, taken: list[str]) -> list[str]:
    open_map = "patternProperties" in flat or isinstance(flat.get("additionalProperties"), dict)
    usual = maker.few(at, 3) if open_map and not typed(flat, "properties", dict) else 0
    count = max(min(usual, size(flat, "maxProperties", usual)), size(flat, "minProperties", 0) - len(taken))
    if count > _MOST_ITEMS:
        raise CannotGenerate(f"{at.path}: it needs more than {_MOST_ITEMS} properties")
    names = dict.fromkeys(taken)
    for _ in range(20 * count):
        if len(names) == len(taken) + count:
            break
        name = _new_name(maker, flat, at)
        names.update({} if maker.member(flat, name) is False else {name: None})
    return list(names)[len(taken) :]


def _new_name(maker: Maker, flat: Schema, at: _Place) -> str:
    maker.step()
    patterns = list(typed(flat, "patternProperties", dict))
    if patterns:
        return pattern.matching(maker.words.rng.choice(patterns), maker.words.rng) or ""
    return str(maker.make({"allOf": [{"type": "string"}, flat.get("propertyNames", True)]}, at.key("label")))


def _array(maker: Maker, flat: Schema, at: _Place) -> object:
    first, rest = typed(flat, "prefixItems", list), flat.get("items", flat.get("unevaluatedItems", True))
    held = size(flat, "minContains", 1) if "contains" in flat else 0
    least = max(size(flat, "minItems", 0), len(first) + held if held else 0)
    if least > _MOST_ITEMS:
        raise CannotGenerate(f"{at.path}: it needs more than {_MOST_ITEMS} items")
    few = maker.few(at, 3)
    most = len(first) if rest is False else size(flat, "maxItems", _MOST_ITEMS)
    count = min(most, size(flat, "maxItems", most), max(least, few and max(few, min(len(first), _MOST_OPTIONAL))))
    parts = first + [{"allOf": [rest, flat.get("contains", True)]}] * held + [rest] * count
    return _items(maker, parts[: max(0, count)], at, unique=flat.get("uniqueItems") is True)


def _items(maker: Maker, parts: list[object], at: _Place, *, unique: bool) -> list[object]:
    made: list[object] = []
    for nth, part in enumerate(parts):
        item = maker.make(part, at.item(nth))
        for _ in range(60 if unique else 0):
            if item not in made:
                break
            maker.step(_PER_MISS)
            item = maker.make(part, at.item(nth))
        if not unique or item not in made:
            made.append(item)
    return made


def _string(maker: Maker, flat: Schema, at: _Place) -> object:
    low, high = size(flat, "minLength", 0), size(flat, "maxLength", _MOST_CHARACTERS)
    if low > _MOST_CHARACTERS:
        raise CannotGenerate(f"{at.path}: it needs more than {_MOST_CHARACTERS} characters")
    formatted = FORMATS.get(str(flat.get("format")))
    hinted = hint(STRING_HINTS, at.name, flat.get("description"))
    templates = (formatted or hinted or "{adjective} {thing}").split("|")
    drafts = (maker.words.pick(templates) for _ in range(3))
    fitting = (draft for draft in drafts if low <= len(draft) <= high)
    if isinstance(regex := flat.get("pattern"), str):
        # Only short ones: some patterns take exponential time to find that a sentence does not match.
        short = (draft for draft in fitting if formatted or len(draft) <= 24)
        found = pattern.matching(regex, maker.words.rng, low, high, preferred=short)
        if found is None and maker.checker:
            raise CannotGenerate(f"{at.path}: no string was found for its pattern")
        return maker.words.pick(templates) if found is None else found
    text = next(fitting, None) or maker.words.pick(templates)
    maker.step(len(text) // _LETTERS_PER_STEP)
    return text if formatted else _stretched(maker, text, low, high)


def _stretched(maker: Maker, text: str, low: int, high: int) -> str:
    if len(text) < low:
        maker.step((low - len(text)) // _CHARACTERS_PER_STEP)
        text += " " + maker.words.prose((low - len(text)) // 4 + 16)
    return text[:high].rstrip().ljust(low, ".")


def _number(maker: Maker, flat: Schema, at: _Place, *, whole: bool = False) -> object:
    hinted = hint(NUMBER_HINTS, at.name, flat.get("description"))
    lowest, highest, digits = hinted or (1, 100, 2)
    maker.step(sum(map(_bits, flat.values())) // _BITS_PER_STEP)
    multiple = number(flat, "multipleOf")
    from fractions import Fraction  # only numbers need it

    step = multiple if multiple and multiple > 0 else Fraction(1, 1 if whole else 10**digits)
    step = Fraction(step.numerator) if whole else step
    low, high = _span(flat, step, Fraction(lowest), Fraction(highest))
    first, last = math.ceil(low / step), math.floor(high / step)
    bits = sum(one.numerator.bit_length() + one.denominator.bit_length() for one in (step, low, high))
    for _ in range(20):
        drawn = _plain(step * maker.words.rng.randint(first, max(first, last)))
        if in_bounds(flat, drawn):
            return drawn
        maker.step(1 + bits // _BITS_PER_STEP)
    return _plain((low + high) / 2)


def _bits(value: object) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _span(flat: Schema, step: "Fraction", lowest: "Fraction", highest: "Fraction") -> "tuple[Fraction, Fraction]":
    """The usual range as far as the schema's bounds allow it, else a range next to those bounds."""
    low, high = bounds(flat)
    usual = max(lowest, lowest if low is None else low), min(highest, highest if high is None else high)
    if math.ceil(usual[0] / step) <= math.floor(usual[1] / step):
        return usual
    low = low if low is not None else step * 0 if high is None else high - 100 * step
    return low, low + 100 * step if high is None else high


def _plain(value: "Fraction") -> float:
    return int(value) if value.denominator == 1 else float(value)


_KINDS: dict[str, Callable[[Maker, Schema, _Place], object]] = {
    "string": _string,
    "integer": partial(_number, whole=True),
    "number": _number,
    "boolean": lambda maker, flat, at: maker.words.rng.random() < 0.5,
    "object": _object,
    "array": _array,
    "null": lambda maker, flat, at: None,
}
# What a schema without a type is about, by the keywords it uses.
_CLUES: dict[str, set[str]] = {
    "object": {"properties", "required", "additionalProperties", "patternProperties", "minProperties"},
    "array": {"items", "prefixItems", "minItems", "contains", "uniqueItems"},
    "string": {"pattern", "format", "minLength", "maxLength"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}
