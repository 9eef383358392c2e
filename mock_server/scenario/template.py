"""`template:` texts: Jinja2, sandboxed, compiled at load. The home of jinja2, which is imported when first needed.

What a template gives is text and stays text. What it may name is known at load; a name nobody knows is a mistake there.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

from mock_server.scenario.decode import Reads
from mock_server.scenario.fakes import methods
from mock_server.scenario.node import Mark, Node, Problems, kind, suggestion

if TYPE_CHECKING:
    import jinja2
    from jinja2 import nodes

MAX_OUTPUT = 1_000_000  # characters
MAX_STEPS = 100_000  # of all loops over `range` in one text together
# what a template can name; `tool_result(name)` is the text of a result
NAMES = (
    "request",
    "headers",
    "prompt",
    "last_message",
    "system",
    "model",
    "tool_result",
    "tool_results",
    "captures",
    "fake",
    "now",
    "session",
    "turn",
    "attempt",
)
_GLOBALS = ("range", "dict", "namespace", "joiner", "cycler")
_TOO_LONG = frozenset(("ljust", "rjust", "center", "zfill", "expandtabs", "format", "format_map"))


class TemplateFailure(Exception):
    """A template that could not be filled for a request: one line."""


@dataclass(frozen=True)
class Template:
    """One text with places to fill. `names`: what it asks for; `captures`: the named groups it uses."""

    source: str
    captures: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    _compiled: Any = field(default=None, repr=False, compare=False)

    def render(self, values: Mapping[str, Any], seed: int = 0) -> str:
        """The text for one request. Raises TemplateFailure."""
        import jinja2

        given = {name: values[name] for name in self.names} | {"range": _Steps().range, "_random": Random(seed)}
        pieces: list[str] = []
        size = 0
        try:
            for piece in self._compiled.generate(given):
                size += len(piece)
                if size > MAX_OUTPUT:
                    raise TemplateFailure(f"the template gives more than {MAX_OUTPUT:,} characters")
                pieces.append(piece)
        except TemplateFailure:
            raise
        except jinja2.TemplateError as error:
            raise TemplateFailure(f"{self._told}: {error.message}") from error
        except Exception as error:
            raise TemplateFailure(f"{self._told}: {type(error).__name__}: {error}") from error
        return "".join(pieces)

    @property
    def _told(self) -> str:
        line = " ".join(self.source.split())
        return f"template {line if len(line) <= 60 else line[:59] + '…'!r}"


class _Steps:
    """`range` of one rendering, with a bound on all of them together."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def range(self, *bounds: int) -> range:
        steps = range(*bounds)
        self._left -= len(steps)
        if self._left < 0:
            raise TemplateFailure(f"the template takes more than {MAX_STEPS:,} steps")
        return steps


# -- the sandbox ----------------------------------------------------------------------------------------------------


@cache
def _environment() -> "jinja2.Environment":
    import jinja2
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**", "%"))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if _is_large(operator, left, right):
                raise SecurityError(f"too much: {left!r:.20} {operator} {right!r:.20}")
            return super().call_binop(context, operator, left, right)

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            return attr not in _TOO_LONG and super().is_safe_attribute(obj, attr, value)

    made = Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    made.globals = {name: value for name, value in made.globals.items() if name in _GLOBALS}
    for name in ("center", "format", "pprint", "xmlattr", "urlize"):
        made.filters.pop(name, None)
    made.filters["random"] = jinja2.pass_context(lambda context, listed: context["_random"].choice(list(listed)))
    made.filters["tojson"] = _json
    made.filters["indent"] = _indent
    return made


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _indent(text: str, width: int = 4, first: bool = False) -> str:
    space = " " * min(width, 100)
    return (space if first else "") + str(text).replace("\n", "\n" + space)


def _is_large(operator: str, left: Any, right: Any) -> bool:
    """Whether an operation could make more than anybody wants: long texts, huge numbers."""
    if operator == "%":
        return isinstance(left, str) and re.search(r"\d{4}|\*", left) is not None
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(other, int):
            return len(one) * other > MAX_OUTPUT
    big = [value for value in (left, right) if isinstance(value, int | float) and abs(value) > 1e15]
    return bool(big) or (operator == "**" and abs(right) > 1_000)


# -- reading --------------------------------------------------------------------------------------------------------


def read_template(node: Node, problems: Problems) -> Template | None:
    """A template, compiled; its mistakes go to `problems`."""
    if not isinstance(node.value, str):
        problems.add(node, f"expected text, got {kind(node)}")
        return None
    return compiled(node.value, node, problems)


def compiled(source: str, at: Node, problems: Problems) -> Template | None:
    """A template from its text. A mistake on a later line of the text is told with that line."""
    import jinja2

    before = len(problems.found)
    try:
        tree = _environment().parse(source)
        found = list(_unknown(tree))
        compiled = None if found else _environment().from_string(source)
    except jinja2.TemplateSyntaxError as error:
        problems.add(_within(at, error.lineno), f"not a template: {error.message}")
        return None
    except RecursionError:
        problems.add(at, "not a template: nested too deeply")
        return None
    for line, text in found:
        problems.add(_within(at, line), text)
    if len(problems.found) > before:
        return None
    return Template(source, frozenset(_attributes(tree, "captures")), _names(tree), compiled)


def _names(tree: "nodes.Template") -> frozenset[str]:
    from jinja2 import meta

    return frozenset(meta.find_undeclared_variables(tree)) & frozenset(NAMES)


def _within(node: Node, line: int) -> Mark | None:
    """The place of a line of a text; the first line of a text of several stands on the line after its `|`."""
    if node.mark is None or line <= 1 or "\n" not in str(node.value):
        return node.mark
    return Mark(node.mark.line + line, 1)


def _unknown(tree: "nodes.Template") -> Iterator[tuple[int, str]]:
    """Names that no template knows, as (line, what is wrong)."""
    from jinja2 import meta, nodes

    for name in sorted(meta.find_undeclared_variables(tree) - {*NAMES, *_GLOBALS}):
        line = next((one.lineno for one in tree.find_all(nodes.Name) if one.name == name), 1)
        yield line, f"unknown name '{name}' in a template; expected one of {', '.join(NAMES)}{suggestion(name, NAMES)}"
    for include in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        yield include.lineno, "a template cannot load another one"
    for name in _attributes(tree, "fake"):
        if name not in methods():
            yield 1, f"unknown fake.{name}, or it reads the clock (use now){suggestion(name, methods())}"


def _attributes(tree: "nodes.Template", of: str) -> Sequence[str]:
    """What is asked of one name: `x` of `captures.x` and of `captures['x']`."""
    from jinja2 import nodes

    found = [
        one.attr for one in tree.find_all(nodes.Getattr) if isinstance(one.node, nodes.Name) and one.node.name == of
    ]
    found += [
        one.arg.value
        for one in tree.find_all(nodes.Getitem)
        if isinstance(one.node, nodes.Name) and one.node.name == of and isinstance(one.arg, nodes.Const)
    ]
    return found


def _read_said(node: Node, problems: Problems) -> "str | Template | None":
    """A text, or `{template: …}`."""
    if isinstance(node.value, dict) and set(node.value) == {"template"}:
        return read_template(node.value["template"], problems)
    if isinstance(node.value, str):
        return node.value
    problems.add(node, f"expected text or {{template: …}}, got {kind(node)}")
    return None


Said = Annotated[str | Template, Reads(_read_said)]
