"""Mutants: the rules of the protocol and the choice of a scenario with one thing wrong, and whether a test notices.

`python tests/reliability/mutants.py --count 500` draws a seeded sample of all that could be wrong (a comparison, a
bound, a constant, a condition), writes one mutant after another into a copy of the package and runs the tests that are
nearest, then those around them. What was found stands in `.compat/mutants.jsonl`, and a run that was stopped goes on
there. Exits with 1 when fewer than 85 of 100 are killed, apart from those that `EQUAL` explains.
"""

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
FILES = (
    *sorted(ROOT.glob("mock_server/protocol/**/*.py")),
    ROOT / "mock_server/engine/choose.py",
    ROOT / "mock_server/engine/turns.py",
    ROOT / "mock_server/engine/index.py",
    ROOT / "mock_server/scenario/match.py",
)
# the tests that are tried, until one fails; the nearest first
STAGES: Sequence[Sequence[str]] = (
    ("tests/protocol", "--ignore=tests/protocol/test_expression.py"),
    ("tests/engine", "--ignore=tests/engine/test_template_bounds.py"),
    ("tests/protocol/test_expression.py", "tests/scenario", "tests/test_scenarios.py", "tests/test_wire.py"),
    ("tests/conformance", "tests/server/test_no_json.py", "tests/server/test_bad_input.py", "tests/test_fidelity.py"),
)
LONGEST = 600.0  # seconds of one stage; a mutant that takes longer is killed, as it hangs
MEMORY = 6 << 30  # bytes of address space; a mutant that wants more is killed too
ENOUGH = 0.85
# mutants that no test can notice, and why: what `Mutant.name` says -> the reason
EQUAL: dict[str, str] = {
    "mock_server/protocol/media.py:25 10000 -> 10001": "how many streams are unpacked is a choice, one more is as good",
}

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
    """One thing that is wrong: in which file and line, what stood there and what stands there now."""

    file: str
    line: int
    number: int  # of the file's mutants
    was: str
    now: str

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} {self.was} -> {self.now}"


class _Mutator(ast.NodeTransformer):
    """Counts what could be wrong in a module, and makes the one with the wanted number so."""

    def __init__(self, wanted: int = -1) -> None:
        self.found: list[tuple[int, str, str]] = []
        self._wanted = wanted

    def _may(self, node: Any, now: Any) -> Any:
        """The node, or what it becomes."""
        self.found.append((node.lineno, ast.unparse(node)[:90], ast.unparse(now)[:90]))
        return now if len(self.found) - 1 == self._wanted else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.body = [self.visit(one) for one in node.body]  # no defaults, no annotations
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
        self.generic_visit(node)
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
        for number, (line, was, now) in enumerate(mutator.found):
            yield Mutant(str(file.relative_to(ROOT)), line, number, was, now)


def mutated(mutant: Mutant) -> str:
    """The text of its file with that wrong."""
    tree = _Mutator(mutant.number).visit(ast.parse((ROOT / mutant.file).read_text()))
    return ast.unparse(ast.fix_missing_locations(tree))


def is_killed(tree: Path, mutant: Mutant) -> str:
    """Which stage fails, or nothing."""
    file = tree / mutant.file
    whole = file.read_text()
    file.write_text(mutated(mutant))
    try:
        for number, stage in enumerate(STAGES, 1):
            if not _passes(tree, stage):
                return f"stage {number}"
    finally:
        file.write_text(whole)
    return ""


def _passes(tree: Path, stage: Sequence[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *stage]
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    limit = f"import resource, runpy; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))"
    bounded = [command[0], "-c", f"{limit}; runpy.run_module('pytest', run_name='__main__')", *command[3:]]
    try:
        run = subprocess.run(bounded, cwd=tree, env=env, capture_output=True, timeout=LONGEST, check=False)
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long; the next run goes on")
    parser.add_argument("--notes", type=Path, default=ROOT / ".compat/mutants.jsonl")
    how = parser.parse_args()

    every = list(mutants())
    sample = random.Random(how.seed).sample(every, min(how.count, len(every)))
    how.notes.parent.mkdir(exist_ok=True)
    notes = [json.loads(line) for line in how.notes.read_text().splitlines()] if how.notes.exists() else []
    known: dict[str, str] = {note["mutant"]: note["killed"] for note in notes}
    tree = ROOT / ".compat/mutants"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "dist", "build"))
    until = time.monotonic() + how.seconds
    with how.notes.open("a") as file:
        for mutant in sample:
            if mutant.name in known:
                continue
            if time.monotonic() > until:
                break
            known[mutant.name] = is_killed(tree, mutant)
            print(f"{known[mutant.name] or 'SURVIVED':9} {mutant.name}", flush=True)
            file.write(json.dumps({"mutant": mutant.name, "killed": known[mutant.name]}) + "\n")
            file.flush()
    shutil.rmtree(tree, ignore_errors=True)
    tried = [mutant for mutant in sample if mutant.name in known and mutant.name not in EQUAL]
    killed = sum(bool(known[mutant.name]) for mutant in tried)
    survivors = [mutant.name for mutant in tried if not known[mutant.name]]
    print(f"{len(every)} mutants, {len(tried)} tried, {killed} killed; survivors:", *survivors, sep="\n  ")
    return 0 if not tried or killed / len(tried) >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
