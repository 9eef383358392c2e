"""`template:` texts: Jinja2, sandboxed, compiled at load. The home of jinja2, which is imported when first needed.

What a template gives is text and stays text. What it may name is known at load; a name nobody knows is a mistake there.
"""

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Annotated, Any

from mock_server.protocol.errors import excerpt
from mock_server.records import dataclass
from mock_server.scenario.decode import Reads
from mock_server.scenario.node import Node, Position, Problems, kind

if TYPE_CHECKING:
    from mock_server.scenario.templates.sandbox import Budget

# what a template can name; `tool_result(name)` is the text of a result
NAMES = (
    *("request", "headers", "prompt", "last_message", "system", "model", "tool_result", "tool_results", "captures"),
    *("state", "fake", "now", "session", "turn", "attempt"),
)
BUDGET = "the budget"  # under which a rendering finds its own: a name that no author can write


class TemplateFailure(Exception):
    """A template that could not be filled for a request: one line."""


@dataclass(frozen=True)
class Template:
    """One text with places to fill. What it uses: `names`, named groups (`captures`) and `states` of the session. `at`:
    where the author wrote it."""

    source: str
    captures: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    at: Position | None = field(default=None, compare=False)
    _compiled: Any = field(default=None, repr=False, compare=False)

    def render(self, values: Mapping[str, Any], budget: "Budget") -> str:
        """The text for one request, within what the budget of its reply has left. Raises TemplateFailure."""
        compiled, environment = self._compiled, self._compiled.environment
        variables = {**environment.globals, **{name: values[name] for name in self.names}, BUDGET: budget}
        # what `new_context` makes; it would go through the globals name by name, twice, for a third of all this takes
        context = environment.context_class(environment, variables, compiled.name, compiled.blocks, environment.globals)
        pieces: list[str] = []
        try:
            for piece in compiled.root_render_func(context):
                budget.pay_output(len(piece))
                pieces.append(piece)
        except TemplateFailure:
            raise
        except Exception as error:
            from mock_server.scenario.templates.sandbox import failure

            line = excerpt(" ".join(self.source.split()), 60)
            raise TemplateFailure(f"template {line!r}: {failure(error)}") from error
        return "".join(pieces)


def budget(seed: Callable[[], int]) -> "Budget":
    """What the templates of one reply may do together; what is random in them comes from the seed, if anything is."""
    from mock_server.scenario.templates.sandbox import Budget

    return Budget(seed)


def read_template(node: Node, problems: Problems) -> Template | None:
    """A template, compiled; its mistakes go to `problems`."""
    if not isinstance(node.value, str):
        problems.add(node, f"expected text, got {kind(node)}")
        return None
    return compiled(node.value, node, problems)


def compiled(source: str, at: Node, problems: Problems) -> Template | None:
    """A template from its text. A mistake on a later line of the text is reported with that line."""
    from mock_server.scenario.templates.environment import compile_template  # jinja2: only where there is a template

    template, found = compile_template(source)
    for line, text in found:
        problems.add(_within(at, line), text)
    return None if template is None else replace(template, at=at.position)


def _within(node: Node, line: int) -> Position | None:
    """The place of a line of a text; the first line of a text of several stands on the line after its `|`."""
    if node.position is None or line <= 1 or "\n" not in str(node.value):
        return node.position
    return Position(node.position.line + line, 1)


def _read_rendered(node: Node, problems: Problems) -> "str | Template | None":
    """A text, or `{template: …}`."""
    if isinstance(node.value, str):
        return node.value
    if isinstance(node.value, dict) and set(node.value) == {"template"}:
        return read_template(node.value["template"], problems)
    problems.add(node, f"expected text or {{template: …}}, got {kind(node)}")
    return None


Rendered = Annotated[str | Template, Reads(_read_rendered)]
