"""The shape of the code: arrows between the layers go one way, each third-party package has one home, and a module is
there because somebody would look for it under its name."""

import ast
import itertools
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mock_server"
FILES = sorted(PACKAGE.rglob("*.py"))

# who may import whom, by the first part of the module's name below the package; of `api` by the first two
LEAVES = {"clock", "fidelity", "settings", "version", "whereabouts"}
TOOLS = {"deferred", "records"}  # what any module may use
BELOW = {"protocol", "scenario", "engine", *LEAVES}
ALLOWED = {
    "protocol": {"protocol"},
    "scenario": {"protocol", "scenario"},
    "engine": BELOW,
    "server": {"server", *BELOW},
    "api": set(),
    "api.builders": {"scenario"},
    "api.matrix": BELOW,
    "api.controls": {"api.builders", *BELOW},
    "api.session": {"api.builders", "api.controls", *BELOW},
    "api.remote": {"api.session", "api.controls", *BELOW},  # a client starts without aiohttp
    "api.local": {"api.session", "api.controls", "server", *BELOW},
    "commands": {"commands", "api.matrix", *BELOW},
    "cli": {"commands", "scenario", "server", "api.remote", "api.controls", *LEAVES},
    "coverage": {"api.local", "api.remote", "scenario", "engine"},
    "pytest_plugin": {"api.local", "api.remote", "api.controls", "api.matrix", "coverage", *BELOW},
    "__init__": {f"api.{part}" for part in ("builders", "controls", "local", "matrix", "remote", "session")}
    | {"pytest_plugin", *BELOW},
    "__main__": {"cli", "server"},
    **{leaf: set() for leaf in (*LEAVES, *TOOLS)},
}
HOMES = {
    "aiohttp": {"server"},
    "yaml": {"scenario/load.py", "scenario/writing.py"},
    "jsonschema": {"protocol/json_schema.py"},
    "referencing": {"protocol/json_schema.py"},
    "re2": {"protocol/expression.py"},
    "regex": {"protocol/expression.py"},
    "faker": {"scenario/generated/fakes.py"},
    "jinja2": {"scenario/templates"},
    "pytest": {"pytest_plugin.py", "coverage.py"},
    "trustme": {"server/runner.py"},
    "uvloop": {"cli.py"},
}
# Modules that only one other of their folder imports, each with the reason why it is not a part of that one.
ALONE = {
    "coverage": "the plugin loads it only when it is asked for",
    "engine/endpoints": "a row each of the table of endpoints",
    "pytest_plugin": "pytest finds it by its entry point; its factory has a public name",
    "protocol/rules/content": "rows of the table of rules",
    "protocol/rules/schemas": "rows of the table of rules",
    "scenario/faults/edits": "loaded only when something is edited",
    "scenario/faults/http": "a row of the union of faults",
    "scenario/templates/environment": "loaded when the first template is, as jinja2 is",
    "scenario/templates/filters": "beside the other things that a template may call it would be 1,100 lines",
    "server/app": "what answers is one thing, what starts and stops another",
}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def module(file: Path) -> str:
    return name(file).removesuffix(".py").removesuffix("/__init__")


MODULES = {module(file): file for file in FILES}


def ours(file: Path) -> set[str]:
    """The modules of the package that a file imports, by their paths."""
    named = {
        used.removeprefix("mock_server.").replace(".", "/") for used in imports(file) if used.startswith("mock_server.")
    }
    return {used for used in named if used in MODULES} - {module(file)}


def layer(path: str) -> str:
    first, *more = path.split("/")
    return f"{first}.{more[0]}" if first == "api" and more else first


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_module_imports_only_what_its_layer_may(file: Path) -> None:
    here = layer(module(file))
    used = {layer(path) for path in ours(file)} - {"api"}

    allowed = ALLOWED[here] | TOOLS
    assert used <= allowed, f"{here} may not import {used - allowed}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_third_party_package_is_imported_only_at_home(file: Path) -> None:
    used = {imported.split(".")[0] for imported in imports(file)} & set(HOMES)

    for package in used:
        homes = HOMES[package]
        places = {name(file), *(parent.as_posix() for parent in file.relative_to(PACKAGE).parents)}
        assert places & homes, f"{package} lives in {homes}"


def test_the_protocol_layer_needs_nothing_but_the_standard_library_and_judges_of_schemas_and_patterns() -> None:
    for file in FILES:
        if file.relative_to(PACKAGE).parts[0] == "protocol":
            home = {package for package, homes in HOMES.items() if name(file) in homes}
            outside = {m.split(".")[0] for m in imports(file)} - {"mock_server"} - set(sys.stdlib_module_names) - home
            assert not outside, f"{name(file)} imports {outside}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_module_says_what_lives_in_it(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text()))


def importers() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for file in FILES:
        for used in ours(file):
            found[used].add(module(file))
    return found


def is_alone(path: str, by: set[str]) -> bool:
    """Whether one module alone imports it, and that is of its own folder (or is the folder's own)."""
    if len(by) != 1 or "__main__" in by:
        return False
    (one,) = by
    return MODULES[one].parent == MODULES[path].parent and MODULES[path].name != "__init__.py"


def excuse(path: str) -> str:
    return path if path in ALONE else path.rpartition("/")[0]


def test_a_module_that_one_other_of_its_folder_imports_is_a_part_of_it_unless_there_is_a_reason() -> None:
    alone = {path for path, by in importers().items() if is_alone(path, by)}

    assert not {path for path in alone if excuse(path) not in ALONE}, "merge it into its importer, or say why not"


def test_no_reason_is_given_for_what_is_not_alone() -> None:
    used = {excuse(path) for path, by in importers().items() if is_alone(path, by)}

    assert set(ALONE) <= used, f"{set(ALONE) - used} need no reason any more"


def test_no_class_name_is_there_twice() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(name(file))

    assert not {one: files for one, files in homes.items() if len(files) > 1}


# What a test patches: read when it is needed, it stops a server in the same process. `clock.py` takes the clocks when it
# is loaded; what else is needed is an attribute of a class, `from asyncio import sleep`, or the loop's own `time()`.
CLOCKS = re.compile(
    r"time\.\w+|asyncio\.sleep|(datetime\.)?(datetime|date)\.(now|utcnow|today|fromtimestamp)|uuid\.uuid1", re.ASCII
)
READERS = {"cli.py": "what it prints is read once, and no server runs there"}


def read_in_functions(file: Path) -> Iterator[str]:
    """The clocks that a module looks up as it runs; what stands in a class or a default is looked up once, at import."""
    tree = ast.parse(file.read_text())
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            bodies = [function.body] if isinstance(function, ast.Lambda) else function.body
            for node in itertools.chain.from_iterable(map(ast.walk, bodies)):
                if isinstance(node, ast.Attribute) and CLOCKS.fullmatch(ast.unparse(node)):
                    yield f"{file.name}:{node.lineno}: {ast.unparse(node)}"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":  # freezegun rewrites names of modules
            yield f"{file.name}:{node.lineno}: from time import"


@pytest.mark.parametrize("file", [file for file in FILES if name(file) not in READERS], ids=name)
def test_nobody_asks_a_clock_that_a_test_can_patch(file: Path) -> None:
    assert not list(read_in_functions(file))


def test_a_clock_that_a_test_can_patch_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text(
        "import time\nfrom time import monotonic\nclass A:\n    now = time.monotonic\n"
        "def f(now=time.time):\n    return now() + time.time()\ng = lambda: datetime.now()\n"
    )
    assert list(read_in_functions(file)) == [
        "some.py:6: time.time",
        "some.py:7: datetime.now",
        "some.py:2: from time import",
    ]
