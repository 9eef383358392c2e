"""The docs are true: every command and code block of the README runs, and the generated parts are up to date."""

import gc
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from mock_server.engine.endpoints import ENDPOINTS
from mock_server.protocol import sse
from mock_server.scenario.load import load_overlays, loads
from mock_server.scenario.profiles import load_profile

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(text: str, kind: str) -> list[str]:
    return [found[2] for found in BLOCK.finditer(text) if found[1] == kind]


@pytest.fixture(scope="module")
def made() -> Iterator[str]:
    """`make mock`, as the README has it, in the environment that runs the tests; the port is a free one."""
    venv = Path(sys.prefix)
    for stamp in (".run", ".dev"):  # what make would install is what runs this test
        (venv / stamp).touch()
    command = ["make", "--no-print-directory", "mock", f"VENV={venv}"]
    environment = {**os.environ, "MOCK_SERVER_PORT": "0", "MOCK_SERVER_TIME_SCALE": "0"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline().strip() for _ in range(7)]
        try:
            yield "\n".join(lines)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.stdout.close()
            server.wait(10)


def test_the_first_screen_shows_the_two_commands() -> None:
    first = blocks(README, "sh")[0]
    assert [line.split("#")[0].strip() for line in first.strip().splitlines()] == [
        "make mock",
        "make test",
        "make help",
    ]
    assert README.index("make mock") < README.index("curl -N") < README.index("def test_")


def test_make_mock_says_where_it_listens_and_what_to_try(made: str) -> None:
    lines = made.splitlines()
    url = lines[0].removeprefix("mock-server listening on ")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert re.fullmatch(r"\d+ scenarios from scenarios", lines[1])
    assert lines[2].startswith("profile octen: ")
    assert lines[3].startswith("what matches no scenario gets a generated reply")
    assert lines[4] == "try it:"
    assert url in lines[5]
    assert f"ANTHROPIC_BASE_URL={url}" in lines[6]


def curl(command: str) -> bytes:
    environment = {**os.environ, "no_proxy": "127.0.0.1"}
    return subprocess.run(shlex.split(command), capture_output=True, check=True, env=environment, timeout=30).stdout


def test_the_curl_of_the_readme_streams_what_it_shows(made: str) -> None:
    url = made.splitlines()[0].rpartition(" ")[2]
    command = blocks(README, "sh")[1].replace("\\\n", " ").replace("http://127.0.0.1:8787", url)
    shown = blocks(README, "text")[0]

    stream = curl(command).decode()

    for frame in shown.strip().split("\n\n")[1:3]:
        assert frame in stream
    assert re.findall(r"^event: (\w+)", shown, re.MULTILINE) == re.findall(r"^event: (\w+)", stream, re.MULTILINE)[:4]
    assert [p["type"] for p in sse.parse(stream.encode())][-1] == "message_stop"


def test_the_curl_that_make_mock_prints_works(made: str) -> None:
    assert b"event: message_stop" in curl(made.splitlines()[5])


def test_the_commands_of_the_sidecar_page_work(made: str) -> None:
    url = made.splitlines()[0].split()[-1]
    (script,) = blocks((ROOT / "docs" / "sidecar.md").read_text(), "sh")
    done = subprocess.run(
        ["bash", "-e", "-c", script.replace("http://127.0.0.1:8787", url)],
        capture_output=True,
        text=True,
        env={**os.environ, "no_proxy": "127.0.0.1"},
        timeout=30,
        check=True,
    )
    assert '{"added":["hi"]}' in done.stdout
    assert '"ok":false' in done.stdout
    assert '"entries":[]' in done.stdout


def test_the_commands_of_the_endpoints_page_work(made: str) -> None:
    url = made.splitlines()[0].split()[-1]
    (script,) = blocks((ROOT / "docs" / "endpoints.md").read_text(), "sh")
    done = subprocess.run(
        ["bash", "-e", "-c", script.replace("curl", "curl -sf").replace("http://127.0.0.1:8787", url)],
        capture_output=True,
        text=True,
        env={**os.environ, "no_proxy": "127.0.0.1"},
        timeout=30,
        check=True,
    )
    for told in ('{"input_tokens":', '"has_more":true', '"display_name":"Claude Opus 4.8"', '"type":"completion"'):
        assert told in done.stdout


def test_the_endpoints_page_names_every_endpoint() -> None:
    page = (ROOT / "docs" / "endpoints.md").read_text()
    for path, methods in ENDPOINTS.items():
        for method in methods:
            assert f"`{method} {path.replace('...', '')}`" in page


def test_the_python_of_the_sidecar_page_works(made: str) -> None:
    (source,) = blocks((ROOT / "docs" / "sidecar.md").read_text(), "python")
    use = """    import anthropic
    with anthropic.Anthropic(base_url=session.url, api_key=session.api_key) as client:
        client.messages.create(model="claude-opus-4-8", max_tokens=9, messages=[{"role": "user", "content": "hello"}])
"""
    lines = source.replace("http://127.0.0.1:8787", made.splitlines()[0].split()[-1]).splitlines(keepends=True)
    exec("".join(use if line.strip().startswith("...") else line for line in lines), {})


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("mock", "test", "lint", "types", "format", "bench", "docs"):
        assert re.search(rf"make {target} +\w", shown), target


def test_the_five_liner_of_the_readme_passes(mock_server: object) -> None:
    (source,) = (block for block in blocks(README, "python") if "def test_" in block)
    scope: dict[str, object] = {}
    exec(compile(source, "README.md", "exec"), scope)
    scope["test_the_weather_is_told"](mock_server)  # type: ignore[operator]
    with warnings.catch_warnings():  # the example leaves closing its client to the collector: here, not in a later test
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_the_tests_of_the_page_about_faults_pass(pytester: pytest.Pytester) -> None:
    listed = blocks((ROOT / "docs" / "faults.md").read_text(), "python")
    pytester.makepyfile(**{f"test_block_{n}": block for n, block in enumerate(listed)})
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio")
    counted = result.parseoutcomes()
    assert set(counted) <= {"passed", "warnings", "warning"}
    assert counted["passed"] > len(listed)


def test_the_example_of_chaos_is_made_of_overlays() -> None:
    assert all(one.is_overlay for one in load_overlays([ROOT / "examples" / "chaos.yaml"]))


def test_the_export_line_is_what_the_sdk_reads(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import anthropic

    (line,) = (block for block in blocks(README, "sh") if block.startswith("export"))
    url = made.splitlines()[0].rpartition(" ")[2]
    for pair in shlex.split(line.replace("http://127.0.0.1:8787", url))[1:]:
        monkeypatch.setenv(*pair.split("=", 1))
    with anthropic.Anthropic() as client:
        message = client.messages.create(
            model="claude-opus-4-8", max_tokens=50, messages=[{"role": "user", "content": "[[scenario:hello]]"}]
        )
    assert message.stop_reason == "end_turn"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_yaml_block_loads(page: Path, tmp_path: Path) -> None:
    for block in blocks(page.read_text(), "yaml"):
        if block.startswith("extends:"):
            (tmp_path / "profile.yaml").write_text(block)
            assert load_profile(str(tmp_path / "profile.yaml")).models
        else:
            assert loads(block, page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_json_block_is_json(page: Path) -> None:
    for block in blocks(page.read_text(), "json"):
        json.loads(block)


def tables(text: str) -> Iterator[list[list[str]]]:
    """Every table of a page as it is rendered: rows of cells. A bar that is not escaped parts cells, in code too."""
    outside = BLOCK.sub("", text)
    for found in re.finditer(r"(?m)(?:^\|.*\n?)+", outside):
        lines = found[0].strip().splitlines()
        yield [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]] for line in lines]


@pytest.mark.parametrize("page", [*PAGES, *(ROOT / "examples").rglob("*.md")], ids=lambda page: page.name)
def test_every_row_of_a_table_has_the_cells_of_its_head_and_stands_once(page: Path) -> None:
    for head, rule, *rows in tables(page.read_text()):
        assert all(re.fullmatch(":?-+:?", cell) for cell in rule), rule
        assert rows, head
        for row in (rule, *rows):
            assert len(row) == len(head), row
        names = [row[0] + (row[1] if head[1] == "" else "") for row in rows]
        assert len(set(names)) == len(names), head


def test_a_row_of_docs_that_is_broken_is_seen() -> None:
    (broken,) = tables("| a | b |\n|---|---|\n| `x`, `|` | y |\n| `x`, `\\|` | y |\n")
    assert [len(row) for row in broken] == [2, 2, 3, 2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link, _, section in re.findall(r"\]\(([^)#]*)(#([^)]+))?\)", page.read_text()):
        target = page.parent / link if link else page
        assert link.startswith("https://") or target.exists(), link
        assert not section or section in sections(target), f"{link}#{section}"


def sections(page: Path) -> set[str]:
    """What a link may name in a page: its headings as they are written in an address, and its anchors."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    anchors = re.findall(r"<a id=\"([\w-]+)\"></a>", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings} | set(anchors)


def test_the_generated_parts_are_up_to_date() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout


def test_the_changelog_has_what_is_unreleased() -> None:
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()


def test_the_table_of_attacks_has_a_row_for_each_there_is() -> None:
    """`make reliability ARGS="--only table --write"` makes it anew."""
    from reliability import table  # starts no server

    assert table.names_told() == table.names()
