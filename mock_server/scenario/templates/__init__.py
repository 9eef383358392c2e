"""`template:` texts: Jinja2, sandboxed, compiled at load. The home of jinja2, which is imported when first needed.

What a template gives is text and stays text. What it may name is known at load; a name nobody knows is a mistake there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from mock_server.records import dataclass
from mock_server.scenario.decode import Reads
from mock_server.scenario.generated import fakes
from mock_server.scenario.node import Node, Position, Problems, kind, one_of, suggestion

if TYPE_CHECKING:
    import jinja2
    from jinja2 import nodes

    from mock_server.scenario.templates.sandbox import Budget

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
    "state",
    "fake",
    "now",
    "session",
    "turn",
    "attempt",
)


class TemplateFailure(Exception):
    """A template that could not be filled for a request: one line."""


@dataclass(frozen=True)
class Template:
    """One text with places to fill. `names`: what it asks for; `captures`: the named groups it uses; `states`: those of
    the session that it tells; `at`: where the author wrote it."""

    source: str
    captures: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    at: Position | None = field(default=None, compare=False)
    _compiled: Any = field(default=None, repr=False, compare=False)

    def render(self, values: Mapping[str, Any], budget: "Budget") -> str:
        """The text for one request, within what the budget of its reply has left. Raises TemplateFailure."""
        compiled, environment = self._compiled, self._compiled.environment
        given = {**environment.globals, **{name: values[name] for name in self.names}, _BUDGET: budget}
        # what `new_context` makes; it would go through the globals name by name, twice, for a third of all this takes
        context = environment.context_class(environment, given, compiled.name, compiled.blocks, environment.globals)
        pieces: list[str] = []
        try:
            for piece in compiled.root_render_func(context):
                budget.pay_output(len(piece))
                pieces.append(piece)
        except TemplateFailure:
            raise
        except Exception as error:
            from mock_server.scenario.templates.sandbox import failure

            raise TemplateFailure(f"{self._told}: {failure(error)}") from error
        return "".join(pieces)

    @property
    def _told(self) -> str:
        line = " ".join(self.source.split())
        return f"template {line if len(line) <= 60 else line[:59] + '…'!r}"


def budget(seed: Callable[[], int]) -> "Budget":
    """What the templates of one reply may do together; what is random in them comes from the seed, if anything is."""
    from mock_server.scenario.templates.sandbox import Budget

    return Budget(seed)


# -- the sandbox ----------------------------------------------------------------------------------------------------

# names that no author can write
_BUDGET = "the budget"
_TURNS, _STEPS, _COMPARE, _JOIN, _CUT, _KEY = "its turns", "its steps", "compare", "join with", "cut from", "a key"


@cache
def _environment() -> "jinja2.Environment":
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    from mock_server.scenario.templates import filters, methods, sandbox

    class Environment(SandboxedEnvironment):
        """Asks the sandbox for everything: nothing of Python's or Jinja's own is left."""

        intercepted_binops = frozenset(sandbox.BINARY)
        intercepted_unops = frozenset(sandbox.UNARY)
        concat = staticmethod(sandbox.collected)  # type: ignore[assignment]

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            return sandbox.BINARY[operator](context.parent[_BUDGET], left, right)

        def call_unop(self, context: Any, operator: str, arg: Any) -> Any:
            return sandbox.UNARY[operator](arg)

        def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return methods.call(__context.parent[_BUDGET], __obj, args, kwargs)

        def getattr(self, obj: Any, attribute: str) -> Any:
            found = methods.attribute(obj, attribute)
            return self._missing(obj, attribute) if methods.is_missing(found) else found

        def getitem(self, obj: Any, argument: Any) -> Any:
            found = methods.item(obj, argument)
            return self._missing(obj, argument) if methods.is_missing(found) else found

        def _missing(self, obj: Any, name: Any) -> Any:
            if isinstance(obj, jinja2.Undefined):
                str(obj)  # raises
            return self.undefined(methods.refusal(obj, name), obj=obj, name=methods.briefly(name))

    made = Environment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        optimized=False,
        finalize=jinja2.pass_context(lambda context, value: sandbox.shown(context.parent[_BUDGET], value)),
    )
    made.globals = dict(methods.GLOBALS)
    made.filters = {
        **{name: _drawing(run) for name, run in filters.FILTERS.items()},
        _TURNS: _drawing(sandbox.listed),
        _STEPS: _drawing(lambda budget, steps: budget.take(steps)),
        _COMPARE: _drawing(sandbox.compare),
        _JOIN: _drawing(sandbox.joined),
        _CUT: _drawing(sandbox.sliced),
        _KEY: _drawing(sandbox.keyed),
    }
    made.tests = {name: _drawing(run) for name, run in filters.TESTS.items()}
    return made


def _drawing(run: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or a test as Jinja calls it; it draws from the budget of its rendering."""
    import jinja2

    def drawing(context: Any, *given: Any, **named: Any) -> Any:
        return run(context.parent[_BUDGET], *given, **named)

    return jinja2.pass_context(drawing)


# -- what Jinja would do by itself ----------------------------------------------------------------------------------


def _guarded(tree: "nodes.Template") -> "nodes.Template":
    """The same template with every turn of a loop and every call of a macro paid for, and with what Jinja has no hook
    for (comparisons, `~`, slices, keys) done by the sandbox."""
    from jinja2 import nodes
    from jinja2.visitor import NodeTransformer

    def instead(name: str, node: Any, of: Any, given: list[Any]) -> Any:
        return nodes.Filter(of, name, given, [], None, None, lineno=node.lineno)

    def paid(node: Any, steps: int) -> Any:
        """The body of a loop or macro that is paid for when it is gone through."""
        const = nodes.Const(steps, lineno=node.lineno)
        node.body.insert(0, nodes.ExprStmt(instead(_STEPS, node, const, []), lineno=node.lineno))
        return node

    class Guard(NodeTransformer):
        def visit_For(self, node: Any) -> Any:
            steps = 1 + _weights((*node.body, *([node.test] if node.test is not None else ())))
            self.generic_visit(node)
            price = None if node.recursive else steps
            node.iter = instead(_TURNS, node, node.iter, [nodes.Const(price, lineno=node.lineno)])
            return paid(node, steps) if node.recursive else node

        def visit_Macro(self, node: Any) -> Any:
            steps = 1 + _weights((*node.body, *node.defaults))
            self.generic_visit(node)
            return paid(node, steps)

        visit_CallBlock = visit_Macro

        def visit_Compare(self, node: Any) -> Any:
            self.generic_visit(node)
            rest = [part for one in node.ops for part in (nodes.Const(one.op, lineno=node.lineno), one.expr)]
            return instead(_COMPARE, node, node.expr, rest)

        def visit_Concat(self, node: Any) -> Any:
            self.generic_visit(node)
            return instead(_JOIN, node, node.nodes[0], node.nodes[1:])

        def visit_Getitem(self, node: Any) -> Any:
            self.generic_visit(node)
            if not isinstance(node.arg, nodes.Slice):
                return node
            ends = (node.arg.start, node.arg.stop, node.arg.step)
            nothing = nodes.Const(None, lineno=node.lineno)
            return instead(_CUT, node, node.node, [nothing if end is None else end for end in ends])

        def visit_Pair(self, node: Any) -> Any:
            self.generic_visit(node)
            node.key = instead(_KEY, node, node.key, [])
            return node

    guarded: nodes.Template = Guard().visit(tree)
    return guarded


def _weight(node: "nodes.Node") -> int:
    """The steps of one way through a part: one a node. Loops inside and macros defined there pay for themselves."""
    from jinja2 import nodes

    if isinstance(node, nodes.TemplateData):
        return 1 + len(node.data) // 100
    if isinstance(node, nodes.Macro):
        return 1
    if isinstance(node, nodes.For):
        return 1 + _weights((node.iter, *node.else_))
    return 1 + _weights((node.call, *node.defaults) if isinstance(node, nodes.CallBlock) else node.iter_child_nodes())


def _weights(several: "Iterable[nodes.Node]") -> int:
    return sum(_weight(one) for one in several)


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

    found: Sequence[tuple[int, str]]
    template = None
    try:
        template, found = _compiled(source)
    except jinja2.TemplateSyntaxError as error:
        found = [(error.lineno, f"not a template: {error.message}")]
    except (RecursionError, SyntaxError, MemoryError):  # of the Python that it is compiled to, too
        found = [(1, "not a template: nested too deeply")]
    except (ValueError, OverflowError):
        found = [(1, "not a template: a number in it is too long")]
    for line, text in found:
        problems.add(_within(at, line), text)
    return None if template is None else replace(template, at=at.position)


@lru_cache(maxsize=1_000)
def _compiled(source: str) -> tuple[Template | None, Sequence[tuple[int, str]]]:
    """A template, or its mistakes with their lines in order. An alias of YAML brings the same text many times."""
    from mock_server.scenario.templates import sandbox

    if len(source) > sandbox.MAX_SOURCE:
        return None, [(1, f"a template of {len(source):,} characters; {sandbox.MAX_SOURCE:,} at most")]
    tree = _environment().parse(source)
    found = sorted(_mistakes(tree), key=lambda one: one[0])
    if found:
        return None, found
    captures, states = (frozenset(_attributes(tree, of)) for of in ("captures", "state"))
    return Template(source, captures, states, _names(tree), None, _environment().from_string(_guarded(tree))), ()


def _names(tree: "nodes.Template") -> frozenset[str]:
    from jinja2 import meta

    return frozenset(meta.find_undeclared_variables(tree)) & frozenset(NAMES)


def _within(node: Node, line: int) -> Position | None:
    """The place of a line of a text; the first line of a text of several stands on the line after its `|`."""
    if node.position is None or line <= 1 or "\n" not in str(node.value):
        return node.position
    return Position(node.position.line + line, 1)


def _mistakes(tree: "nodes.Template") -> Iterator[tuple[int, str]]:
    """What no template may hold, as (line, what is wrong)."""
    from jinja2 import meta, nodes

    from mock_server.scenario.templates import methods, sandbox

    apart: Any = tree.find_all((nodes.For, nodes.Macro))
    parts = _weight(tree) + sum(1 + _weights(one.body) for one in apart)
    if parts > sandbox.MAX_PARTS:
        yield 1, f"a template is made of {sandbox.MAX_PARTS:,} parts at most; this one has {parts:,}"
        return
    refused = [(one.lineno, why) for kinds, why in _refused() for one in tree.find_all(kinds)]
    refused += _unlisted(tree)
    yield from refused
    if refused:
        return  # Jinja itself fails at these
    for name in sorted(meta.find_undeclared_variables(tree) - {*NAMES, *methods.GLOBALS}):
        line = next((one.lineno for one in tree.find_all(nodes.Name) if one.name == name), 1)
        yield line, f"unknown name '{name}' in a template{one_of(name, NAMES)}"
    for name in _attributes(tree, "fake"):
        if name not in fakes.methods():
            yield 1, f"unknown fake.{name}, or it reads the clock (use now){suggestion(name, fakes.methods())}"


def _refused() -> Sequence[tuple[Any, str]]:
    """Statements that templates do not have."""
    from jinja2 import nodes

    loading = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
    return (
        (loading, "a template cannot load another one"),
        (nodes.Block, "a template has no blocks, as none can be extended; write the text itself"),
        (nodes.ScopedEvalContextModifier, "a template gives text as it is; a value is escaped by {{ … | escape }}"),
    )


def _unlisted(tree: "nodes.Template") -> Iterator[tuple[int, str]]:
    """Filters and tests that there are none of, also those that another filter is to use."""
    from jinja2 import nodes

    from mock_server.scenario.templates import filters

    tables = {"filter": filters.FILTERS, "test": filters.TESTS}
    used: list[tuple[int, str, Any]] = [(one.lineno, "test", one.name) for one in tree.find_all(nodes.Test)]
    for one in tree.find_all(nodes.Filter):
        used.append((one.lineno, "filter", one.name))
        noun, at = filters.NAMING.get(one.name, ("", 0))
        if noun and len(one.args) > at and isinstance(one.args[at], nodes.Const):
            used.append((one.lineno, noun, getattr(one.args[at], "value", None)))
    for line, noun, name in used:
        if isinstance(name, str) and name not in tables[noun]:
            words = [word for word in tables[noun] if word[0].isalpha()]
            yield line, f"no {noun} named {name[:40]!r}{one_of(name[:40], words)}"


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


def _read_rendered(node: Node, problems: Problems) -> "str | Template | None":
    """A text, or `{template: …}`."""
    if isinstance(node.value, dict) and set(node.value) == {"template"}:
        return read_template(node.value["template"], problems)
    if isinstance(node.value, str):
        return node.value
    problems.add(node, f"expected text or {{template: …}}, got {kind(node)}")
    return None


Rendered = Annotated[str | Template, Reads(_read_rendered)]
