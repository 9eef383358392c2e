"""Which test notices a mutant, found out fast.

Every test is run once with a watch on the lines of the files that are mutated: only those that reach a mutant's line can
notice it (`learn`). Then everything is imported and collected once, and each mutant gets a fork of that process, in which
the functions of its file run the mutant's code, and the tests go one after another until one fails: first those that
noticed its neighbours, then the fastest. What is wrong when a module is imported needs a process that has not imported it
yet: a fork of one that knows all other packages, which reads the mutant's file in place of the true one. So do functions that
are called then.

A test that takes ten times as long as ever is a failure, as the mutant hangs it; a mutant has so many seconds of
the processor (`--longest`), and has survived when no test has failed by then.
"""

import ast
import contextlib
import gc
import importlib.abc
import importlib.util
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest
from _pytest.runner import runtestprotocol
from reliability.mutants import FILES, ROOT, Mutant, mutated, text_of

# where the rules and the choice are tested; what takes long and looks at other things is left out
TESTS = (
    "tests/protocol", "tests/conformance", "tests/test_scenarios.py", "tests/test_wire.py", "tests/test_fidelity.py",
    "tests/test_side_calls.py",
    "tests/test_try_out.py",
    *(f"tests/scenario/test_{name}.py" for name in ("subjects", "language", "lookalikes", "mistakes")),
    *(
        f"tests/engine/test_{name}.py"
        for name in (
            "address", "admission", "agent_loop", "beginnings", "cache", "citations", "complete", "contradictions", "count_tokens",
            "cut_parity", "engine", "extras", "finer_choices", "ignored", "patterns", "states", "struck_endpoints", "warnings",
            "generated", "index", "limits", "made", "models", "overlays", "position", "recorded_requests", "refusals", "routing",
            "server_tools", "thoughts", "threads", "unmatched",
        )
    ),
)  # fmt: skip
LEFT_OUT = (
    "any_pattern_finds",
    "read_alike",
    "however_long",
    "rates_are_those",
    "ten_thousand",
    "100000",
    "percentiles",
)
MEMORY = 6 << 30  # bytes of address space; a mutant that wants more is killed too
MOST_CALLS = 10  # how many calls of a function are watched in one test, line by line
NEIGHBOURS = 12  # how many of the tests that noticed others of its file are tried first
PLAIN = (
    "-q",
    "-n0",
    "-p",
    "no:cacheprovider",
    "--no-header",
    "--no-summary",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
    "-k",
    f"not ({' or '.join(LEFT_OUT)})",
)
_CODES = {str(file): str(file.relative_to(ROOT)) for file in FILES}


# -- which tests reach which lines -------------------------------------------------------------------------------------


class Reached(NamedTuple):
    """The tests, how long each took, and for each line of a file the numbers of those that reach it.

    Below zero, the line in which a function begins: those that call it too often for a look at each of its lines.
    """

    tests: list[str]
    seconds: list[float]
    lines: dict[str, dict[int, list[int]]]


class Watch:
    """A plugin that notes the lines each test reaches."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._tests: list[str] = []
        self._seconds: list[float] = []
        self._by_line: dict[CodeType, dict[int, list[int]]] = {}
        self._calls: Counter[CodeType] = Counter()

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        if code.co_filename not in _CODES:
            return None
        calls = self._calls[code] = self._calls[code] + 1
        number, lines = len(self._tests), self._by_line.setdefault(code, {})
        if calls > MOST_CALLS:
            if calls == MOST_CALLS + 1:
                lines.setdefault(-code.co_firstlineno, []).append(number)
            return None

        def at(frame: FrameType, event: str, arg: Any) -> Any:
            tests = lines.setdefault(frame.f_lineno, [])
            if not tests or tests[-1] != number:
                tests.append(number)
            return at

        return at(frame, event, arg)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._calls.clear()
        start = time.process_time()
        threading.settrace(self._called)
        sys.settrace(self._called)
        yield
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self._tests.append(item.nodeid)
        self._seconds.append(round(time.process_time() - start, 4))

    def pytest_sessionfinish(self) -> None:
        lines: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for code, found in self._by_line.items():
            for line, tests in found.items():
                lines[_CODES[code.co_filename]][line].update(tests)
        told = {file: {line: sorted(tests) for line, tests in found.items()} for file, found in lines.items()}
        self._file.write_text(json.dumps([self._tests, self._seconds, told]))


def learn(folder: Path, workers: int) -> None:
    """Write which tests reach what: all of them when the code has changed, else those of the files that have."""
    code = "".join(text_of(str(file.relative_to(ROOT))) for file in FILES)
    said = folder / "reached.of"
    of = json.loads(said.read_text()) if said.exists() else {}
    now = {"code": code, **{file: text_of(file) for file in _test_files()}}
    stale = [file for file in now if of.get("code") != code or of.get(file) != now[file]]
    stale = [file for file in stale if file != "code"]
    if not stale:
        return
    print(f"looking which tests reach what: {len(stale)} files ...", flush=True)
    start = f"import sys; sys.path[:0] = {sys.path[:2]!r}; from reliability.killing import watch; watch(sys.argv[1:])"
    parts = [stale[number::workers] for number in range(workers)]
    runs = [
        subprocess.Popen([sys.executable, "-c", start, str(folder / f"reached-{number}.json"), *part], cwd=ROOT)
        for number, part in enumerate(parts)
        if part
    ]
    for run in runs:
        run.wait()
    found = [_read(folder / f"reached-{number}.json") for number in range(len(runs))]
    file = folder / "reached.json"
    kept = [_without(_read(file), stale)] if file.exists() and of.get("code") == code else []
    file.write_text(json.dumps(_together([*kept, *found])))
    said.write_text(json.dumps(now))


def _test_files() -> list[str]:
    found = [one for name in TESTS for one in (sorted((ROOT / name).rglob("test_*.py")) or [ROOT / name])]
    return [str(file.relative_to(ROOT)) for file in found]


def watch(words: Sequence[str]) -> None:
    """Run tests under watch: in a process of its own. First the file that what is found goes to."""
    pytest.main([*PLAIN, "--timeout", "600", *words[1:]], plugins=[Watch(Path(words[0]))])


def _without(reached: Reached, files: Sequence[str]) -> Reached:
    """What stands there but for the tests of these files, whose numbers stay free."""
    gone = {number for number, name in enumerate(reached.tests) if name.partition("::")[0] in set(files)}
    tests = ["" if number in gone else name for number, name in enumerate(reached.tests)]
    lines = {
        name: {line: [one for one in numbers if one not in gone] for line, numbers in found.items()}
        for name, found in reached.lines.items()
    }
    return Reached(tests, reached.seconds, lines)


def _together(parts: Sequence[Reached]) -> Reached:
    """The lists of several runs as one: the numbers of the tests of each follow those of the one before."""
    made = Reached([], [], defaultdict(lambda: defaultdict(list)))
    for part in parts:
        before = len(made.tests)
        made.tests.extend(part.tests)
        made.seconds.extend(part.seconds)
        for name, lines in part.lines.items():
            for line, numbers in lines.items():
                made.lines[name][line] += [before + number for number in numbers]
    return made


def _read(file: Path) -> Reached:
    tests, seconds, lines = json.loads(file.read_text())
    return Reached(tests, seconds, {name: {int(k): v for k, v in one.items()} for name, one in lines.items()})


# -- the tests of a mutant ---------------------------------------------------------------------------------------------


class Order:
    """The tests that can notice a mutant, the likeliest first."""

    def __init__(self, reached: Reached, longest: float) -> None:
        self._reached = reached
        self.longest = longest
        self._seconds = dict(zip(reached.tests, reached.seconds, strict=True))
        self._noticed: dict[str, Counter[str]] = defaultdict(Counter)
        self._breadth = Counter(
            reached.tests[number] for lines in reached.lines.values() for found in lines.values() for number in found
        )

    @property
    def files(self) -> list[str]:
        return list(dict.fromkeys(name.partition("::")[0] for name in self._reached.tests if name))

    def seconds(self, test: str) -> float:
        return self._seconds.get(test, 1.0)

    def noticed(self, mutant: Mutant, test: str) -> None:
        self._noticed[mutant.file][test] += 1
        self._noticed[f"{mutant.file} {mutant.function}"][test] += 10

    def of(self, mutant: Mutant) -> list[str]:
        lines = self._reached.lines.get(mutant.file, {})
        numbers: set[int] = set()
        if mutant.function:
            first, last = mutant.lines
            unseen = [-line for line in range(mutant.within[0], mutant.within[1] + 1)]
            numbers = {number for line in (*range(first, last + 1), *unseen) for number in lines.get(line, ())}
        else:
            for line in _users(mutant):
                numbers.update(lines.get(line, ()))
        if not numbers:  # what is called when the module is imported, or only other modules read
            numbers = {number for found in lines.values() for number in found}
        namers = [] if mutant.function else self._naming(_made(mutant))
        tests = [*namers, *self._mixed([self._reached.tests[number] for number in numbers])]
        near = self._noticed[f"{mutant.file} {mutant.function}"] + self._noticed[mutant.file]
        inside = set(tests)
        first_ones = [test for test, _ in near.most_common() if test in inside][:NEIGHBOURS]
        return list(dict.fromkeys([*first_ones, *tests]))

    def _naming(self, made: set[str]) -> list[str]:
        """The tests that name a table themselves."""
        tables = {test for name in made for test in _namers().get(name, ())}
        return self._mixed([test for test in self._reached.tests if test.partition("[")[0] in tables])

    def _mixed(self, tests: Sequence[str]) -> list[str]:
        """Those first that reach little else, as they look at nothing else; and of a table one first, then two more, then
        four, as its cases are much alike."""
        order, seen = dict[str, int](), Counter[str]()
        for test in sorted(tests, key=lambda one: zlib.crc32(one.encode())):
            table = test.partition("[")[0]
            seen[table] += 1
            order[test] = seen[table].bit_length() * self._breadth[test]
        return sorted(order, key=order.__getitem__)


def _made(mutant: Mutant) -> set[str]:
    """What its statement makes."""
    return {
        one.id
        for node in ast.walk(ast.parse((ROOT / mutant.file).read_text()))
        if isinstance(node, ast.stmt) and node.lineno == mutant.lines[0]
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }


@cache
def _namers() -> Mapping[str, list[str]]:
    """Names, and the tests that have them in their text."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in _test_files():
        for node in ast.parse((ROOT / file).read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                names = {str(getattr(one, "id", "") or getattr(one, "attr", "")) for one in ast.walk(node)}
                for name in names:
                    found[name].append(f"{file}::{node.name}")
    return found


def _users(mutant: Mutant) -> list[int]:
    """The lines, in the mutant's file, of functions that name what its statement makes."""
    tree = ast.parse((ROOT / mutant.file).read_text())
    made = _made(mutant)
    return [
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and made & {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        for line in range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
    ]


# -- a fork for each ---------------------------------------------------------------------------------------------------


def killed(chosen: Sequence[Mutant], until: float, folder: Path, longest: float) -> Iterator[tuple[Mutant, str]]:
    """Each mutant and what noticed it; nothing if nothing did."""
    order = Order(_read(folder / "reached.json"), longest)
    temporary = folder / f"mutants-{os.getpid()}"
    os.chdir(ROOT)
    _import_others()
    early = _called_early()
    later = [one for one in chosen if one.function and f"{one.file}:{one.within[0]}" not in early]
    runner = _Runner(later, until, order, temporary)
    read, write = os.pipe()
    if os.fork() == 0:  # collects, and forks again for each
        os.close(read)
        runner.to = os.fdopen(write, "w", buffering=1)
        try:
            pytest.main([*PLAIN, f"--basetemp={temporary}", *order.files], plugins=[runner])
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.close(write)
    every = {one.name: one for one in chosen}
    with os.fdopen(read) as lines:
        for line in lines:
            said = json.loads(line)
            yield every[said["mutant"]], said["killed"]
    os.wait()
    for mutant in chosen:
        if mutant not in later and time.time() < until:
            yield mutant, _noticed_afresh(mutant, order, temporary)
    shutil.rmtree(temporary, ignore_errors=True)


def _import_others() -> None:
    """What the tests need beside the package."""
    for name in ("aiohttp.web", "anthropic", "faker", "hypothesis", "jinja2", "jsonschema", "re2", "regex", "yaml"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _called_early() -> set[str]:
    """The functions, by file and line, that are called when the package is imported: tables are made by them."""
    found: set[str] = set()

    def called(frame: FrameType, event: str, arg: Any) -> None:
        if frame.f_code.co_filename in _CODES:
            found.add(f"{_CODES[frame.f_code.co_filename]}:{frame.f_code.co_firstlineno}")

    read, write = os.pipe()
    if os.fork() == 0:
        sys.setprofile(called)
        for file in _CODES.values():
            importlib.import_module(".".join(Path(file).with_suffix("").parts).removesuffix(".__init__"))
        sys.setprofile(None)
        os.write(write, "\n".join(found).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as lines:
        said = lines.read().split("\n")
    os.wait()
    return set(said)


def _forked(work: Callable[[Callable[[str], None]], None], cpu: float) -> str:
    """What `work` says last with a mark before it, in a fork: nothing if it says none, the last test if that hangs."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)

        def say(line: str) -> None:
            os.write(write, line.encode() + b"\n")

        try:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            work(say)
            say(".")
        except BaseException:
            say(f"?{traceback.format_exc()}")
        os._exit(0)
    os.close(write)
    over = threading.Timer(cpu * 10 + 60, os.kill, (child, signal.SIGKILL))  # waits for something that never comes
    over.start()
    with os.fdopen(read) as lines:
        said = lines.read()
    _, status = os.waitpid(child, 0)
    over.cancel()
    last = said.splitlines()[-1] if said else ""
    if os.WIFSIGNALED(status):
        return f"{last} (hangs)"
    if last != ".":
        raise RuntimeError(said)
    return next((line[1:] for line in said.splitlines() if line.startswith("!")), "")


class _Runner:
    """A plugin that runs no tests, but mutants' forks."""

    def __init__(self, chosen: Sequence[Mutant], until: float, order: Order, temporary: Path) -> None:
        self.to: Any = None
        self._sound: dict[str, bool] = {}
        self._chosen, self._until, self._order, self._temporary = chosen, until, order, temporary

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions: dict[CodeType, list[FunctionType]] = defaultdict(list)
        for one in gc.get_objects():
            if isinstance(one, FunctionType) and one.__code__.co_filename in _CODES:
                functions[one.__code__].append(one)
        gc.freeze()
        for mutant in self._chosen:
            if time.time() > self._until:
                break
            by = self._noticed(mutant, items, functions)
            while by and not self._is_sound(by, items):
                del items[by.removesuffix(" (hangs)")]
                by = self._noticed(mutant, items, functions)
            if by:
                self._order.noticed(mutant, by.removesuffix(" (hangs)"))
            self.to.write(json.dumps({"mutant": mutant.name, "killed": by}) + "\n")
        return True

    def _is_sound(self, by: str, items: dict[str, pytest.Item]) -> bool:
        """Whether a test passes in a fork as long as nothing is wrong."""
        name = by.removesuffix(" (hangs)")
        if name in items and name not in self._sound:
            self._sound[name] = not _forked(lambda say: _run([items[name]], self._order, say), self._order.longest)
        return self._sound.get(name, True)

    def _noticed(
        self, mutant: Mutant, items: dict[str, pytest.Item], functions: dict[CodeType, list[FunctionType]]
    ) -> str:
        tests = [items[name] for name in self._order.of(mutant) if name in items]
        path = str(ROOT / mutant.file)
        true = dict(_codes(compile(ast.parse(Path(path).read_text()), path, "exec", dont_inherit=True)))
        wrong = dict(_codes(compile(mutated(mutant), path, "exec", dont_inherit=True)))
        put = [
            (function, wrong[key])
            for key, code in true.items()
            if key in wrong and wrong[key] != code
            for function in functions.get(code, ())
        ]
        if not put or any(len(code.co_freevars) != len(function.__code__.co_freevars) for function, code in put):
            return _noticed_in_new_process(mutant, self._order, self._temporary)

        def work(say: Callable[[str], None]) -> None:
            for function, code in put:
                function.__code__ = code
            _run(tests, self._order, say)

        return _forked(work, self._order.longest)


def _run(tests: Sequence[pytest.Item], order: Order, say: Callable[[str], None]) -> None:
    """One test after another; says the first that fails with a mark before it."""
    start = time.process_time()
    for item, after in zip(tests, (*tests, None)[1:], strict=True):
        if time.process_time() - start > order.longest:
            return
        say(item.nodeid)
        signal.setitimer(signal.ITIMER_PROF, 5 + 10 * order.seconds(item.nodeid))
        if any(report.failed for report in runtestprotocol(item, nextitem=after, log=False)):
            say(f"!{item.nodeid}")
            return
    signal.setitimer(signal.ITIMER_PROF, 0)


def _codes(code: CodeType, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], CodeType]]:
    """All code in it, by where it is: names, lines, and which of several in a line."""
    inner = Counter[tuple[str, int]]()
    for one in code.co_consts:
        if isinstance(one, CodeType):
            at = (one.co_name, one.co_firstlineno)
            inner[at] += 1
            key = (*path, *at, inner[at])
            yield key, one
            yield from _codes(one, key)


# -- what is wrong when a module is imported ---------------------------------------------------------------------------


class _Wrong(importlib.abc.Loader, importlib.abc.MetaPathFinder):
    """Imports the mutant's file in place of the true one."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        parts = Path(mutant.file).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != self.name:
            return None
        file = ROOT / self._mutant.file
        inside = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(fullname, file, loader=self, submodule_search_locations=inside)

    def exec_module(self, module: ModuleType) -> None:
        code = compile(mutated(self._mutant), str(ROOT / self._mutant.file), "exec", dont_inherit=True)
        exec(code, module.__dict__)


class _Chosen:
    """A plugin that runs some tests, in an order, until one fails."""

    def __init__(self, tests: Sequence[str], order: Order, say: Callable[[str], None]) -> None:
        self._tests, self._order, self._say = tests, order, say

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        if session.testsfailed:
            self._say("!tests cannot be collected")
        else:  # a table of cases that is made of what is wrong has other names
            _run([items[name] for name in self._tests if name in items], self._order, self._say)
        self._say(".")
        os._exit(0)


def _noticed_afresh(mutant: Mutant, order: Order, temporary: Path) -> str:
    """First the test file in which the likeliest tests are, then the next three, then all others: what is there must be
    imported and collected for each mutant anew."""
    tests = order.of(mutant)
    weights = Counter[str]()
    for at, name in enumerate(tests):
        weights[name.partition("::")[0]] += 1_000_000 // (at + 10)
    files = [file for file, _ in weights.most_common()]
    for near in (files[:1], files[1:4], files[4:]):
        wanted = [one for one in tests if one.partition("::")[0] in near]
        if not wanted:
            break
        by = _forked(lambda say, wanted=wanted: _in_new(mutant, wanted, order, temporary, say), order.longest + 30)  # type: ignore[misc]
        if by:
            order.noticed(mutant, by.removesuffix(" (hangs)"))
            return by
    return ""


def _in_new(mutant: Mutant, tests: Sequence[str], order: Order, temporary: Path, say: Callable[[str], None]) -> None:
    wrong = _Wrong(mutant)
    sys.meta_path.insert(0, wrong)
    try:
        importlib.import_module(wrong.name)  # before pytest, which would take the true file to rewrite its assertions
    except Exception:
        say("!it cannot be imported")
        return
    files = list(dict.fromkeys(name.partition("::")[0] for name in tests))
    say("import")
    pytest.main([*PLAIN, f"--basetemp={temporary}", *files], plugins=[_Chosen(tests, order, say)])
    say("!it cannot be imported")


def _noticed_in_new_process(mutant: Mutant, order: Order, temporary: Path) -> str:
    """For code that cannot be put into a function that is there."""
    said = json.dumps([mutant, order.of(mutant), str(temporary), order.longest])
    code = (
        f"import sys; sys.path[:0] = {sys.path[:2]!r}; from reliability.killing import alone; alone(sys.stdin.read())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, input=said, capture_output=True, text=True, check=False
    )
    return run.stdout.strip().splitlines()[-1] if run.stdout.strip() else ""


def alone(said: str) -> None:
    """One mutant in this process, which has imported nothing of the package; prints what noticed it."""
    mutant, tests, temporary, longest = json.loads(said)
    _import_others()

    class Same(Order):
        def of(self, mutant: Mutant) -> list[str]:
            return list(tests)

    print(_noticed_afresh(Mutant(*mutant), Same(Reached([], [], {}), longest), Path(temporary)))
