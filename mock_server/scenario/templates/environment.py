"""The environment that templates run in: what they may read from values and call (methods of texts, lists, mappings and
times, macros, `fake`, `range`), and how they are compiled. What is in no table is not there. Loaded when the first
template is.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import FunctionType
from typing import Any, NamedTuple

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from mock_server.scenario.generated import fakes
from mock_server.scenario.generated.fakes import Fake, Faked
from mock_server.scenario.node import one_of, suggestion
from mock_server.scenario.templates import BUDGET, NAMES, Template, sandbox
from mock_server.scenario.templates.filters import (
    FIELDS,
    FILTERS,
    NAMING,
    TESTS,
    Group,
    as_list,
    joined_by,
    of_text,
    padded,
    pairs,
    replaced,
    stripped,
)
from mock_server.scenario.templates.sandbox import (
    CHARACTERS,
    DATE,
    DATETIME,
    DURATION,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT,
    MOMENTS,
    PLAIN,
    TIME,
    Budget,
    Exceeded,
    Misused,
    amount,
    brief,
    drawing,
    kind_of,
    listed,
    ordinary,
    scalar,
    text_of,
    weigh,
)

# -- methods --------------------------------------------------------------------------------------------------------


def _searching(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that looks for a text, or for one of several."""

    def run(budget: Budget, text: str, sought: Any, *ends: Any) -> Any:
        budget.text(len(text))
        for one in sought if isinstance(sought, tuple) else ():
            budget.text(len(brief(one)) + CHARACTERS)
        ordinary(*(end for end in ends if end is not None))
        return method(text, sought, *ends)

    return run


def _splitting(method: Callable[..., Any]) -> Callable[..., list[str]]:
    def run(budget: Budget, text: str, sep: Any = None, maxsplit: Any = -1) -> list[str]:
        budget.text(len(text))
        times = amount(maxsplit, "a number of pieces", MAX_TEXT)
        found: list[str] = method(text, sep, times if 0 <= times < MAX_ITEMS else MAX_ITEMS)
        budget.items(len(found))
        return found

    return run


def _lines(budget: Budget, text: str, keepends: bool = False) -> list[str]:
    budget.text(len(text))
    budget.items(text.count("\n"))
    found = text.splitlines(bool(keepends))
    budget.items(len(found))
    return found


def _tabs(budget: Budget, text: str, tabsize: Any = 8) -> str:
    budget.text(len(text) + text.count("\t") * max(0, amount(tabsize)))
    return text.expandtabs(tabsize)


_FOUND = (
    *("count", "endswith", "find", "index", "rfind", "rindex", "startswith"),
    *("partition", "removeprefix", "removesuffix", "rpartition"),
)
_PREDICATES = (
    *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric"),
    *("isprintable", "isspace", "istitle", "isupper"),
)
_PLAINLY = ("capitalize", "casefold", "lower", "swapcase", "title", "upper")


def _index(method: Callable[..., int]) -> Callable[..., int]:
    def run(budget: Budget, every: Any, one: Any) -> int:
        weigh(budget, every)
        return method(every, one)

    return run


def _get(budget: Budget, every: dict[Any, Any], key: Any, default: Any = None) -> Any:
    return every.get(scalar(key), default)


def _strftime(budget: Budget, at: Any, format: Any) -> str:
    if len(brief(format)) > 200 or re.search(r"%[^a-zA-Z%]*\d", format):
        raise Exceeded("it formats a time by more than 200 characters, or by a width")
    return str(at.strftime(format))


def _brisk(method: str) -> Callable[..., Any]:
    """A method that only ever makes something small."""

    def run(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
        for one in (*args, *kwargs.values()):
            brief(one) if isinstance(one, str) else ordinary(one)
        return getattr(value, method)(*args, **kwargs)

    return run


_CALENDAR = ("ctime", "isoformat", "isoweekday", "weekday")
METHODS: Mapping[type, Mapping[str, Callable[..., Any]]] = {
    str: {
        **{name: of_text(getattr(str, name)) for name in (*_PLAINLY, *_PREDICATES)},
        **{name: _searching(getattr(str, name)) for name in _FOUND},
        **{name: padded(getattr(str, name)) for name in ("center", "ljust", "rjust", "zfill")},
        **{name: stripped(getattr(str, name)) for name in ("lstrip", "rstrip", "strip")},
        "expandtabs": _tabs,
        "join": lambda budget, text, every: joined_by(budget, every, text),
        "replace": replaced,
        "rsplit": _splitting(str.rsplit),
        "split": _splitting(str.split),
        "splitlines": _lines,
    },
    list: {"count": _index(list.count), "index": _index(list.index)},
    tuple: {"count": _index(tuple.count), "index": _index(tuple.index)},
    dict: {
        "get": _get,
        "items": pairs,
        "keys": as_list,
        "values": lambda budget, every: listed(budget, list(every.values())),
    },
    DATETIME: {
        "strftime": _strftime,
        **{name: _brisk(name) for name in (*_CALENDAR, "date", "replace", "time", "timestamp", "tzname")},
    },
    DATE: {"strftime": _strftime, **{name: _brisk(name) for name in _CALENDAR}},
    TIME: {"strftime": _strftime, "isoformat": _brisk("isoformat")},
    DURATION: {"total_seconds": _brisk("total_seconds")},
}
_LOOP = (
    *("index", "index0", "revindex", "revindex0", "first", "last", "length"),
    *("depth", "depth0", "previtem", "nextitem", "cycle", "changed"),
)
_ATTRIBUTES: Mapping[type, Sequence[str]] = {
    **dict.fromkeys(MOMENTS, FIELDS),
    LoopContext: _LOOP,
    Cycler: ("next", "reset", "current"),
    Group: ("grouper", "list"),
}


class Method(NamedTuple):
    """A method of a value, found by name and not called yet."""

    run: Callable[..., Any]
    of: Any = None


_MISSING: Any = object()


def _attribute(value: Any, name: str) -> Any:
    """What `value.name` is; _MISSING where there is none."""
    kind = type(value)
    if kind is dict and name not in METHODS[dict]:
        return value.get(name, _MISSING)
    methods = METHODS.get(kind)
    if methods is not None and name in methods:
        return Method(methods[name], value)
    if name in _ATTRIBUTES.get(kind, ()) or (kind in (Fake, Namespace) and not name.startswith("_")):
        return getattr(value, name, _MISSING)
    return _MISSING


def _item(value: Any, key: Any) -> Any:
    """What `value[key]` is; _MISSING where there is none."""
    kind = type(value)
    if kind is dict:
        return value.get(key, _MISSING) if isinstance(key, str) or type(key) in PLAIN else _MISSING
    if isinstance(value, str | list | tuple | range) and isinstance(key, int):
        return value[key] if -len(value) <= key < len(value) else _MISSING
    return _attribute(value, key) if isinstance(key, str) else _MISSING


def _briefly(key: Any) -> Any:
    """A key, for a message: one of another kind could be endless."""
    return key[:CHARACTERS] if isinstance(key, str) else key if type(key) in PLAIN else kind_of(key)


def _refusal(value: Any, name: Any) -> str | None:
    """Why there is no such method, where Python has one."""
    kind = type(value)
    if kind not in METHODS or not isinstance(name, str) or not hasattr(kind, name):
        return None
    return f"{kind_of(value)} has no {name[:CHARACTERS]!r} in a template; it has {', '.join(sorted(METHODS[kind]))}"


# -- calls ----------------------------------------------------------------------------------------------------------


def _range(budget: Budget, *ends: Any) -> range:
    ordinary(*ends)
    found = range(*ends)
    budget.items(max(0, (found.stop - found.start) // found.step))
    return found


def _dict(budget: Budget, *args: Any, **kwargs: Any) -> dict[str, Any]:
    if not args:
        return kwargs
    (base,) = args
    items = listed(budget, pairs(budget, base) if isinstance(base, dict) else base)
    return {**{scalar(key): value for key, value in items}, **kwargs}


def _namespace(budget: Budget, *args: Any, **kwargs: Any) -> Namespace:
    return Namespace(_dict(budget, *args, **kwargs))


def _cycler(budget: Budget, *args: Any) -> Cycler:
    return Cycler(*args)


def _joiner(budget: Budget, sep: Any = ", ") -> Joiner:
    return Joiner(text_of(budget, sep))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "cycler": _cycler,
    "dict": _dict,
    "joiner": _joiner,
    "namespace": _namespace,
    "range": _range,
}
GLOBALS: Mapping[str, Method] = {name: Method(run) for name, run in FUNCTIONS.items()}


def _call(budget: Budget, called: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """`called(…)`, if it may be called. Raises whatever it raises."""
    kind = type(called)
    if kind is Method:
        if called.of is None:
            return called.run(budget, *args, **kwargs)
        return called.run(budget, called.of, *args, **kwargs)
    if kind is Macro or kind is LoopContext:
        return _deeper(budget, called, args, kwargs)
    if kind is Faked:
        budget.take(called.price(args, kwargs))
        made = called(*args, **kwargs)
        weigh(budget, made)
        return made
    if kind is Joiner or (getattr(called, "__self__", None).__class__ in (Cycler, LoopContext)):
        for one in args:  # what a loop compares, and what it goes through
            if isinstance(one, dict | list | tuple):
                weigh(budget, one)
        return called(*args, **kwargs)
    if isinstance(called, Undefined):
        str(called)
    if kind is FunctionType:  # of ours: a template comes by no other
        return called(*map(scalar, args), **{name: scalar(one) for name, one in kwargs.items()})
    raise Misused(f"{kind_of(called)} cannot be called")


def _deeper(budget: Budget, called: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A macro, or a loop once more: what it collects is paid for when it is back."""
    if budget.depth <= 0:
        raise Exceeded(f"it goes more than {MAX_DEPTH} calls deep")
    budget.depth -= 1
    try:
        budget.take(1)
        if type(called) is LoopContext:
            args = [listed(budget, args[0]), *args[1:]]
        made = called(*args, **kwargs)
    finally:
        budget.depth += 1
    budget.text(len(made))
    return made


# -- the environment ------------------------------------------------------------------------------------------------

# names that no author can write
_TURNS, _STEPS, _COMPARE, _JOIN, _CUT, _KEY = "its turns", "its steps", "compare", "join with", "cut from", "a key"


class _Environment(SandboxedEnvironment):
    """Asks the sandbox for everything: nothing of Python's or Jinja's own is left."""

    intercepted_binops = frozenset(sandbox.BINARY)
    intercepted_unops = frozenset(sandbox.UNARY)
    concat = staticmethod(sandbox.collected)  # type: ignore[assignment]

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        return sandbox.BINARY[operator](context.parent[BUDGET], left, right)

    def call_unop(self, context: Any, operator: str, arg: Any) -> Any:
        return sandbox.UNARY[operator](arg)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("_loop_vars", None)
        kwargs.pop("_block_vars", None)
        return _call(__context.parent[BUDGET], __obj, args, kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        found = _attribute(obj, attribute)
        return self._missing(obj, attribute) if found is _MISSING else found

    def getitem(self, obj: Any, argument: Any) -> Any:
        found = _item(obj, argument)
        return self._missing(obj, argument) if found is _MISSING else found

    def _missing(self, obj: Any, name: Any) -> Any:
        if isinstance(obj, jinja2.Undefined):
            str(obj)  # raises
        return self.undefined(_refusal(obj, name), obj=obj, name=_briefly(name))


_ENVIRONMENT = _Environment(
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    optimized=False,
    finalize=sandbox.finalized,
)
_ENVIRONMENT.globals = dict(GLOBALS)
_ENVIRONMENT.tests = {name: drawing(run) for name, run in TESTS.items()}
_ENVIRONMENT.filters = {
    **{name: drawing(run) for name, run in FILTERS.items()},
    _TURNS: drawing(sandbox.listed),
    _STEPS: drawing(lambda budget, steps: budget.take(steps)),
    _COMPARE: drawing(sandbox.compare),
    _JOIN: drawing(sandbox.joined),
    _CUT: drawing(sandbox.sliced),
    _KEY: drawing(lambda budget, key: sandbox.scalar(key)),
}


# -- what Jinja would do by itself ----------------------------------------------------------------------------------


def _instead(name: str, node: Any, of: Any, args: list[Any]) -> Any:
    return nodes.Filter(of, name, args, [], None, None, lineno=node.lineno)


def _paid(node: Any, steps: int) -> Any:
    """The body of a loop or macro that is paid for when it is gone through."""
    const = nodes.Const(steps, lineno=node.lineno)
    node.body.insert(0, nodes.ExprStmt(_instead(_STEPS, node, const, []), lineno=node.lineno))
    return node


class _Guard(NodeTransformer):
    """Has every turn of a loop and every call of a macro paid for, and what Jinja has no hook for (comparisons, `~`,
    slices, keys) done by the sandbox."""

    def visit_For(self, node: Any) -> Any:
        steps = 1 + _weights((*node.body, *([node.test] if node.test is not None else ())))
        self.generic_visit(node)
        price = None if node.recursive else steps
        node.iter = _instead(_TURNS, node, node.iter, [nodes.Const(price, lineno=node.lineno)])
        return _paid(node, steps) if node.recursive else node

    def visit_Macro(self, node: Any) -> Any:
        steps = 1 + _weights((*node.body, *node.defaults))
        self.generic_visit(node)
        return _paid(node, steps)

    visit_CallBlock = visit_Macro

    def visit_Compare(self, node: Any) -> Any:
        self.generic_visit(node)
        rest = [part for one in node.ops for part in (nodes.Const(one.op, lineno=node.lineno), one.expr)]
        return _instead(_COMPARE, node, node.expr, rest)

    def visit_Concat(self, node: Any) -> Any:
        self.generic_visit(node)
        return _instead(_JOIN, node, node.nodes[0], node.nodes[1:])

    def visit_Getitem(self, node: Any) -> Any:
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        ends = (node.arg.start, node.arg.stop, node.arg.step)
        nothing = nodes.Const(None, lineno=node.lineno)
        return _instead(_CUT, node, node.node, [nothing if end is None else end for end in ends])

    def visit_Pair(self, node: Any) -> Any:
        self.generic_visit(node)
        node.key = _instead(_KEY, node, node.key, [])
        return node


def _weight(node: nodes.Node) -> int:
    """The steps of one way through a part: one a node. Loops inside and macros defined there pay for themselves."""
    if isinstance(node, nodes.TemplateData):
        return 1 + len(node.data) // 100
    if isinstance(node, nodes.Macro):
        return 1
    if isinstance(node, nodes.For):
        return 1 + _weights((node.iter, *node.else_))
    return 1 + _weights((node.call, *node.defaults) if isinstance(node, nodes.CallBlock) else node.iter_child_nodes())


def _weights(several: Iterable[nodes.Node]) -> int:
    return sum(_weight(one) for one in several)


# -- compiling ------------------------------------------------------------------------------------------------------


_Mistakes = Sequence[tuple[int, str]]  # lines, and what is wrong there


def compile_template(source: str) -> tuple[Template | None, _Mistakes]:
    """A template, or its mistakes in their order."""
    try:
        return _compiled(source)
    except jinja2.TemplateSyntaxError as error:
        return None, [(error.lineno, f"not a template: {error.message}")]
    except (RecursionError, SyntaxError, MemoryError):  # of the Python that it is compiled to, too
        return None, [(1, "not a template: nested too deeply")]
    except (ValueError, OverflowError):
        return None, [(1, "not a template: a number in it is too long")]


@lru_cache(maxsize=1_000)
def _compiled(source: str) -> tuple[Template | None, _Mistakes]:
    """The same, kept: an alias of YAML brings one text many times."""
    if len(source) > sandbox.MAX_SOURCE:
        return None, [(1, f"a template of {len(source):,} characters; {sandbox.MAX_SOURCE:,} at most")]
    tree = _ENVIRONMENT.parse(source)
    found = sorted(_mistakes(tree), key=lambda one: one[0])
    if found:
        return None, found
    captures, states = (frozenset(_attributes(tree, of)) for of in ("captures", "state"))
    names = frozenset(meta.find_undeclared_variables(tree).intersection(NAMES))
    return Template(source, captures, states, names, None, _ENVIRONMENT.from_string(_Guard().visit(tree))), ()


def _mistakes(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """What no template may hold, as (line, what is wrong)."""
    apart: Any = tree.find_all((nodes.For, nodes.Macro))
    parts = _weight(tree) + sum(1 + _weights(one.body) for one in apart)
    if parts > sandbox.MAX_PARTS:
        yield 1, f"a template is made of {sandbox.MAX_PARTS:,} parts at most; this one has {parts:,}"
        return
    refused = [(one.lineno, why) for kinds, why in _REFUSED for one in tree.find_all(kinds)]
    refused += _unlisted(tree)
    yield from refused
    if refused:
        return  # Jinja itself fails at these
    for name in sorted(meta.find_undeclared_variables(tree) - {*NAMES, *GLOBALS}):
        line = next((one.lineno for one in tree.find_all(nodes.Name) if one.name == name), 1)
        yield line, f"unknown name '{name}' in a template{one_of(name, NAMES)}"
    for name in _attributes(tree, "fake"):
        if name not in fakes.methods():
            yield 1, f"unknown fake.{name}, or it reads the clock (use now){suggestion(name, fakes.methods())}"


# statements that templates do not have
_REFUSED: Sequence[tuple[Any, str]] = (
    ((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends), "a template cannot load another one"),
    (nodes.Block, "a template has no blocks, as none can be extended; write the text itself"),
    (nodes.ScopedEvalContextModifier, "a template gives text as it is; a value is escaped by {{ … | escape }}"),
)


def _unlisted(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """Filters and tests that there are none of, also those that another filter is to use."""
    tables = {"filter": FILTERS, "test": TESTS}
    used: list[tuple[int, str, Any]] = [(one.lineno, "test", one.name) for one in tree.find_all(nodes.Test)]
    for one in tree.find_all(nodes.Filter):
        used.append((one.lineno, "filter", one.name))
        noun, at = NAMING.get(one.name, ("", 0))
        if noun and len(one.args) > at and isinstance(one.args[at], nodes.Const):
            used.append((one.lineno, noun, getattr(one.args[at], "value", None)))
    for line, noun, name in used:
        if isinstance(name, str) and name not in tables[noun]:
            words = [word for word in tables[noun] if word[0].isalpha()]
            yield line, f"no {noun} named {name[:40]!r}{one_of(name[:40], words)}"


def _attributes(tree: nodes.Template, of: str) -> Sequence[str]:
    """What is read from one name: `x` of `captures.x` and of `captures['x']`."""
    found: Any = tree.find_all((nodes.Getattr, nodes.Getitem))
    of_it = [one for one in found if isinstance(one.node, nodes.Name) and one.node.name == of]
    plain = [one.attr for one in of_it if isinstance(one, nodes.Getattr)]
    return plain + [one.arg.value for one in of_it if isinstance(getattr(one, "arg", None), nodes.Const)]
