"""Templates -> what Jinja runs: the sandboxed environment, what is paid for, and what no template may hold. Loaded when
the first template is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from mock_server.scenario.generated import fakes
from mock_server.scenario.node import one_of, suggestion
from mock_server.scenario.templates import BUDGET, NAMES, Template, filters, methods, sandbox

# -- the sandbox ----------------------------------------------------------------------------------------------------

# names that no author can write
_TURNS, _STEPS, _COMPARE, _JOIN, _CUT, _KEY = "its turns", "its steps", "compare", "join with", "cut from", "a key"


def _drawing(run: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or a test as Jinja calls it; it draws from the budget of its rendering."""

    def drawing(context: Any, *given: Any, **named: Any) -> Any:
        return run(context.parent[BUDGET], *given, **named)

    return jinja2.pass_context(drawing)


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
        return methods.call(__context.parent[BUDGET], __obj, args, kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        found = methods.attribute(obj, attribute)
        return self._missing(obj, attribute) if found is methods.MISSING else found

    def getitem(self, obj: Any, argument: Any) -> Any:
        found = methods.item(obj, argument)
        return self._missing(obj, argument) if found is methods.MISSING else found

    def _missing(self, obj: Any, name: Any) -> Any:
        if isinstance(obj, jinja2.Undefined):
            str(obj)  # raises
        return self.undefined(methods.refusal(obj, name), obj=obj, name=methods.briefly(name))


_ENVIRONMENT = _Environment(
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    optimized=False,
    finalize=jinja2.pass_context(lambda context, value: sandbox.shown(context.parent[BUDGET], value)),
)
_ENVIRONMENT.globals = dict(methods.GLOBALS)
_ENVIRONMENT.tests = {name: _drawing(run) for name, run in filters.TESTS.items()}
_ENVIRONMENT.filters = {
    **{name: _drawing(run) for name, run in filters.FILTERS.items()},
    _TURNS: _drawing(sandbox.listed),
    _STEPS: _drawing(lambda budget, steps: budget.take(steps)),
    _COMPARE: _drawing(sandbox.compare),
    _JOIN: _drawing(sandbox.joined),
    _CUT: _drawing(sandbox.sliced),
    _KEY: _drawing(lambda budget, key: sandbox.scalar(key)),
}


# -- what Jinja would do by itself ----------------------------------------------------------------------------------


def _instead(name: str, node: Any, of: Any, given: list[Any]) -> Any:
    return nodes.Filter(of, name, given, [], None, None, lineno=node.lineno)


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
    for name in sorted(meta.find_undeclared_variables(tree) - {*NAMES, *methods.GLOBALS}):
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


def _attributes(tree: nodes.Template, of: str) -> Sequence[str]:
    """What is asked of one name: `x` of `captures.x` and of `captures['x']`."""
    asked: Any = tree.find_all((nodes.Getattr, nodes.Getitem))
    of_it = [one for one in asked if isinstance(one.node, nodes.Name) and one.node.name == of]
    plain = [one.attr for one in of_it if isinstance(one, nodes.Getattr)]
    return plain + [one.arg.value for one in of_it if isinstance(getattr(one, "arg", None), nodes.Const)]
