"""Mutants: the rules of the protocol and the choice of a scenario with one thing wrong, and whether a test notices.

`python tests/reliability/mutants.py --count 500` draws a seeded sample of all that could be wrong (a comparison, a
bound, a constant, a condition) and runs against each of it the tests that reach its line, until one fails: see
`killing.py`, which makes that a second for most. What was found stands in `.compat/mutants.jsonl`, and a run that was
stopped goes on there; a mutant is tried again when its function, or the statement that makes its table, has changed.
Exits with 1 when fewer than 85 of 100 are killed, apart from those that `equal.py` explains.
"""

import argparse
import ast
import hashlib
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from reliability.equal import EQUAL  # noqa: E402 # the path is made above

FILES = (
    *sorted(ROOT.glob("mock_server/protocol/**/*.py")),
    ROOT / "mock_server/engine/cache.py",
    ROOT / "mock_server/engine/choose.py",
    ROOT / "mock_server/engine/library.py",
    ROOT / "mock_server/engine/threads.py",
    ROOT / "mock_server/scenario/conditions.py",
    ROOT / "mock_server/scenario/conversation.py",
)
ENOUGH = 0.85

_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}


class Mutant(NamedTuple):
    """One thing that is wrong: in which file and function, what stood there and what stands there now."""

    file: str
    function: str  # "" for what is done when the module is imported
    number: int  # of the file's mutants
    was: str
    now: str
    which: int  # of those that say the same of this function
    lines: tuple[int, int]  # of the statement, or of the head of one that has a body
    within: tuple[int, int]  # the lines of the function

    @property
    def name(self) -> str:
        """The same for as long as the function does not change here, wherever it stands."""
        which = f" ({self.which})" if self.which > 1 else ""
        return f"{self.file} {self.function or 'module'}: {self.was} -> {self.now}{which}"

    @property
    def text(self) -> str:
        """What says whether its function, or the statement that makes its table, reads as it did."""
        first, last = self.within if self.function else self.lines
        return hashlib.sha256("\n".join(_lines(self.file)[first - 1 : last]).encode()).hexdigest()[:12]


class _Found(NamedTuple):
    function: str
    lines: tuple[int, int]
    within: tuple[int, int]
    was: str
    now: str


class _Mutator(ast.NodeTransformer):
    """Counts what could be wrong in a module, and makes the one with the wanted number so."""

    def __init__(self, wanted: int = -1) -> None:
        self.found: list[_Found] = []
        self._wanted = wanted
        self._inside: list[str] = []
        self._classes: list[str] = []
        self._lines = self._within = (0, 0)

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            self._lines = (node.lineno, max(node.lineno, last))
        return super().visit(node)

    def _may(self, node: Any, now: Any) -> Any:
        """The node, or what it becomes."""
        self.found.append(
            _Found(self._function(), self._lines, self._within, ast.unparse(node)[:90], ast.unparse(now)[:90])
        )
        return now if len(self.found) - 1 == self._wanted else node

    def _function(self) -> str:
        return ".".join([*self._classes, *self._inside]) if self._inside else ""

    def visit_FunctionDef(self, node: Any) -> Any:
        if not self._inside:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            self._within = (first, node.end_lineno or first)
        self._inside.append(node.name)
        node.body = [self.visit(one) for one in node.body]  # no defaults, no annotations
        self._inside.pop()
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        if self._inside:
            return self.generic_visit(node)
        self._classes.append(node.name)
        node.body = [self.visit(one) for one in node.body]
        self._classes.pop()
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_Expr(self, node: ast.Expr) -> Any:
        is_log = isinstance(node.value, ast.Call) and ast.unparse(node.value.func).startswith("log.")
        return node if is_log or isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        return node

    def visit_Compare(self, node: ast.Compare) -> Any:
        self.generic_visit(node)
        other = _OTHER.get(type(node.ops[0]))
        if other is None:
            return node
        return self._may(
            node, ast.copy_location(ast.Compare(node.left, [other(), *node.ops[1:]], node.comparators), node)
        )

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        self.generic_visit(node)
        return self._may(node, ast.copy_location(ast.BoolOp(_OTHER[type(node.op)](), node.values), node))

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        self.generic_visit(node)
        other = _OTHER.get(type(node.op))
        if other is None or any(
            isinstance(one, ast.Constant | ast.JoinedStr) and not _is_number(one) for one in (node.left, node.right)
        ):
            return node
        return self._may(node, ast.copy_location(ast.BinOp(node.left, other(), node.right), node))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        self.generic_visit(node)
        return self._may(node, node.operand) if isinstance(node.op, ast.Not) else node

    def visit_If(self, node: ast.If) -> Any:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return node
        node.test = self.visit(node.test)
        lines = self._lines
        node.body = [self.visit(one) for one in node.body]
        node.orelse = [self.visit(one) for one in node.orelse]
        self._lines = lines
        self._may(node.test, ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test))
        if len(self.found) - 1 == self._wanted:
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
        return node

    def visit_Constant(self, node: ast.Constant) -> Any:
        value = node.value
        if isinstance(value, bool):
            return self._may(node, ast.copy_location(ast.Constant(not value), node))
        if isinstance(value, int):
            return self._may(node, ast.copy_location(ast.Constant(value + 1), node))
        if isinstance(value, str) and value:
            return self._may(node, ast.copy_location(ast.Constant(value + "X"), node))
        return node

    def visit_Return(self, node: ast.Return) -> Any:
        self.generic_visit(node)
        if node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None):
            return node
        return self._may(node, ast.copy_location(ast.Return(ast.copy_location(ast.Constant(None), node)), node))

    def visit_Break(self, node: ast.Break) -> Any:
        return self._may(node, ast.copy_location(ast.Continue(), node))

    def visit_Continue(self, node: ast.Continue) -> Any:
        return self._may(node, ast.copy_location(ast.Break(), node))


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def mutants() -> Iterator[Mutant]:
    """All there are."""
    for file in FILES:
        mutator = _Mutator()
        mutator.visit(ast.parse(file.read_text()))
        named = Counter[tuple[str, str, str]]()
        for number, (function, lines, within, was, now) in enumerate(mutator.found):
            named[function, was, now] += 1
            which = named[function, was, now]
            yield Mutant(str(file.relative_to(ROOT)), function, number, was, now, which, lines, within)


def sample(count: int, seed: int) -> list[Mutant]:
    """Which are tried: a change of one function draws its own mutants anew, and no other's."""
    return sorted(mutants(), key=lambda one: hashlib.sha256(f"{seed} {one.name}".encode()).digest())[:count]


def mutated(mutant: Mutant) -> ast.Module:
    """Its file with that wrong, every other thing in its line and column."""
    tree = _Mutator(mutant.number).visit(ast.parse((ROOT / mutant.file).read_text()))
    made: ast.Module = ast.fix_missing_locations(tree)
    return made


@cache
def _lines(file: str) -> list[str]:
    return (ROOT / file).read_text().splitlines()


@cache
def text_of(file: str) -> str:
    """What says whether a file is as it was."""
    return hashlib.sha256((ROOT / file).read_bytes()).hexdigest()[:12]


def _known(notes: Path, *, again: bool) -> dict[str, str]:
    """What killed each mutant that was tried, nothing for a survivor."""
    lines = [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    texts = {one.name: one.text for one in mutants()}
    known = {one["mutant"]: one["killed"] for one in lines if one["text"] == texts.get(one["mutant"])}
    return {name: killed for name, killed in known.items() if killed or not again}


def _worker(chosen: Sequence[Mutant], notes: Path, until: float, folder: Path, longest: float) -> None:
    from reliability.killing import killed

    with notes.open("a") as file:
        for mutant, by in killed(chosen, until, folder, longest):
            print(f"{by or 'SURVIVED':60.60} {mutant.name}", flush=True)
            file.write(json.dumps({"mutant": mutant.name, "killed": by, "text": mutant.text}) + "\n")
            file.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long; the next run goes on")
    parser.add_argument("--notes", type=Path, default=ROOT / ".compat/mutants.jsonl")
    parser.add_argument("--longest", type=float, default=30, help="seconds of the processor for a mutant (30)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="try those that have survived again")
    parser.add_argument("--only", help="mutants whose name has this in it, of all there are")
    how = parser.parse_args()

    how.notes.parent.mkdir(exist_ok=True)
    until = time.time() + how.seconds
    chosen = [one for one in mutants() if how.only in one.name] if how.only else sample(how.count, how.seed)
    before = _known(how.notes, again=how.again)
    left = [one for one in chosen if one.name not in before and one.name not in EQUAL]
    if left:
        from reliability import killing

        killing.learn(how.notes.parent, how.workers)
        start = multiprocessing.get_context("spawn").Process
        slices = [left[number :: how.workers] for number in range(how.workers)]
        workers = [
            start(target=_worker, args=(one, how.notes, until, how.notes.parent, how.longest)) for one in slices if one
        ]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
    known = _known(how.notes, again=False)
    explained = [one.name for one in chosen if one.name in EQUAL]
    tried = [one.name for one in chosen if one.name in known and one.name not in EQUAL]
    survivors = [name for name in tried if not known[name]]
    told = f"{len(chosen)} of {sum(1 for _ in mutants())} mutants: {len(tried) - len(survivors)} killed"
    print(
        f"{told}, {len(explained)} equal, {len(survivors)} survived, {len(chosen) - len(tried) - len(explained)} left"
    )
    for name in survivors:
        print("  survived:", name)
    for name in EQUAL.keys() - {one.name for one in mutants()}:
        print("  explained, but there no longer:", name)
    return 0 if not tried or 1 - len(survivors) / len(tried) >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
