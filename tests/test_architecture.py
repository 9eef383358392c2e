"""The shape of the code: arrows between the layers go one way, and each third-party package has one home."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mock_server"
FILES = sorted(PACKAGE.rglob("*.py"))

# who may import whom, by the first part of the module's name below the package
LEAVES = {"clock", "fidelity", "leaks", "settings", "version", "whereabouts"}
TOOLS = {"records"}  # what any module may use
ALLOWED = {
    "protocol": {"protocol"},
    "scenario": {"protocol", "scenario"},
    "engine": {"protocol", "scenario", "engine", *LEAVES},
    "server": {"protocol", "scenario", "engine", "server", *LEAVES},
    "builders": {"scenario"},
    "coverage": {"engine", "scenario"},
    "controls": {"scenario", "engine", *LEAVES},
    "matrix": {"protocol", "scenario", "engine", *LEAVES},
    "verbs": {"builders", "controls", "scenario", "engine", *LEAVES},
    "client": {"verbs", "controls", "scenario", "engine", "protocol", *LEAVES},
    "hosting": {"server"},
    "api": {"hosting", "verbs", "controls", "protocol", "scenario", "engine", "server", *LEAVES},
    "commands": {"commands", "matrix", "protocol", "scenario", "engine", *LEAVES},
    "cli": {"controls", "commands", "scenario", "server", "client", *LEAVES},
    "pytest_plugin": {"api", "client", "controls", "engine", "pytest_coverage", "matrix", "scenario", *LEAVES},
    "pytest_coverage": {"api", "client", "coverage"},
    "__init__": {"api", "client", "builders", "matrix", "engine", "protocol", "scenario", "verbs", *LEAVES},
    "__main__": {"cli"},
    **{leaf: set() for leaf in (*LEAVES, *TOOLS)},
}
HOMES = {
    "aiohttp": {"server"},
    "yaml": {"scenario/load.py", "scenario/dump.py"},
    "jsonschema": {"protocol/checker.py"},
    "referencing": {"protocol/checker.py"},
    "re2": {"protocol/expression.py"},
    "regex": {"protocol/expression.py"},
    "faker": {"scenario/fakes.py"},
    "jinja2": {f"scenario/{name}.py" for name in ("template", "sandbox", "filters", "methods")},
    "pytest": {"pytest_plugin.py", "pytest_coverage.py"},
    "trustme": {"server/tls.py"},
    "uvloop": {"cli.py"},
}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "mock_server")


def name(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_module_imports_only_what_its_layer_may(file: Path) -> None:
    layer = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    used = {module.split(".")[1] for module in imports(file) if module.startswith("mock_server.")}

    allowed = ALLOWED[layer] | TOOLS
    assert used <= allowed, f"{layer} may not import {used - allowed}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_third_party_package_is_imported_only_at_home(file: Path) -> None:
    used = {module.split(".")[0] for module in imports(file)} & set(HOMES)

    for package in used:
        homes = HOMES[package]
        assert name(file) in homes or file.relative_to(PACKAGE).parts[0] in homes, f"{package} lives in {homes}"


def test_the_protocol_layer_needs_nothing_but_the_standard_library_and_judges_of_schemas_and_patterns() -> None:
    import sys

    for file in FILES:
        if file.relative_to(PACKAGE).parts[0] == "protocol":
            home = {package for package, homes in HOMES.items() if name(file) in homes}
            outside = {m.split(".")[0] for m in imports(file)} - {"mock_server"} - set(sys.stdlib_module_names) - home
            assert not outside, f"{name(file)} imports {outside}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_module_says_what_lives_in_it(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text()))


@pytest.mark.parametrize("file", FILES, ids=name)
def test_no_module_is_longer_than_a_person_reads(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 900


# what reads bytes that we made, and why it may: everything else knows from its plan what they say
READS_BACK = {
    "engine/form.py": ({"told"}, "the two or three frames with a request's own values, once somebody looks"),
    "engine/batch_items.py": ({"read_json"}, "a reply that faults were applied to, as its client would read it"),
    "engine/entry.py": (
        {"heard", "told", "read_json"},
        "a reply that faults were applied to, as its client would read it; the JSON of endpoints beside messages, "
        "of which only the bytes are kept, since as objects they take nine times as much",
    ),
    "engine/redaction.py": ({"loads"}, "a body that a client sent"),
}


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.relative_to(PACKAGE).parts[0] in ("engine", "server")], ids=name
)
def test_bytes_that_we_made_are_not_read_back_to_learn_what_was_known(file: Path) -> None:
    tree = ast.parse(file.read_text())
    read = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "mock_server.protocol.sse"
        for alias in node.names
        if alias.name in ("parse", "heard", "told", "read_json")
    }
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    read |= {call.attr for call in calls if isinstance(call, ast.Attribute) and ast.unparse(call) == "json.loads"}
    allowed, _ = READS_BACK.get(name(file), (set(), ""))
    assert read == allowed
