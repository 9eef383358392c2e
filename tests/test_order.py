"""Which of several scenarios is asked first, however they came: the newest call, in each call the order as written, and
`priority` above all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mock_server import MockClient, MockServer
from mock_server.api.remote import Http
from mock_server.api.session import Verbs
from mock_server.scenario.model import Scenario

pytest_plugins = ["pytester"]

SPECIFIC = "name: specific\nwhen: {prompt: weather}\nreply: SPECIFIC\n"
CATCHALL = "name: catchall\nreply: CATCHALL\n"
BOTH = f"{SPECIFIC}---\n{CATCHALL}"
AS_JSON = [
    {"name": "specific", "when": {"prompt": "weather"}, "reply": "SPECIFIC"},
    {"name": "catchall", "reply": "CATCHALL"},
]


def written(folder: Path, **files: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return [folder / f"{name}.yaml" for name in files]


def order(scenarios: Any) -> list[str]:
    return [one.name for one in scenarios]


def said(server: Verbs, text: str) -> str:
    """What answers a prompt, by the words of the control API."""
    found = server.explain(
        {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    )
    return str(found["scenario"])


def _file(server: Verbs, folder: Path) -> None:
    server.load(*written(folder, both=BOTH))


def _folder(server: Verbs, folder: Path) -> None:
    written(folder, a=SPECIFIC, b=CATCHALL)
    server.load(folder)


def _two_files(server: Verbs, folder: Path) -> None:
    server.load(*written(folder, z=SPECIFIC, a=CATCHALL))


def _posted_yaml(server: Verbs, folder: Path) -> None:
    reply = _post(server, BOTH.encode(), "application/yaml")
    assert reply == {"added": ["specific", "catchall"]}


def _posted_json(server: Verbs, folder: Path) -> None:
    assert Http(server.url, None)("POST", "scenarios", AS_JSON) == {"added": ["specific", "catchall"]}


def _post(server: Verbs, body: bytes, type: str) -> Any:
    import urllib.request

    asked = urllib.request.Request(f"{server.url}/_mock/scenarios", body, {"content-type": type})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked) as reply:
        return json.load(reply)


@pytest.mark.parametrize("load", [_file, _folder, _two_files, _posted_yaml, _posted_json])
def test_what_comes_in_one_call_keeps_its_order(
    anywhere: Verbs, tmp_path: Path, load: Callable[[Verbs, Path], None]
) -> None:
    anywhere.add("older", name="older")
    load(anywhere, tmp_path / "loaded")

    assert said(anywhere, "weather in Paris") == "specific"
    assert said(anywhere, "anything") == "catchall"

    anywhere.add("newest", name="newest")
    assert said(anywhere, "weather in Paris") == "newest"


def test_files_that_are_served_keep_it_too(tmp_path: Path) -> None:
    for paths in (
        written(tmp_path / "one", both=BOTH),
        written(tmp_path / "two", z=SPECIFIC, a=CATCHALL),
        [written(tmp_path / "three", a=SPECIFIC, b=CATCHALL)[0].parent],
    ):
        with MockServer(*paths) as server:
            assert order(server.scenarios) == ["specific", "catchall"]
            assert said(server, "weather in Paris") == "specific"


def test_what_a_session_lists_is_in_the_order_in_which_it_is_asked(anywhere: Any, tmp_path: Path) -> None:
    anywhere.add("first", name="first")
    anywhere.load(*written(tmp_path, both=BOTH))
    anywhere.add("last", name="last")

    assert order(anywhere.scenarios) == ["last", "specific", "catchall", "first"]
    listed: list[Scenario] = MockClient(anywhere.url)._http("GET", "scenarios", session="default")["scenarios"]
    assert [one["name"] for one in listed] == ["last", "specific", "catchall", "first"]  # type: ignore[index]


def test_a_call_that_says_a_name_again_moves_it_to_the_front(anywhere: Any, tmp_path: Path) -> None:
    anywhere.load(*written(tmp_path, both=BOTH))
    anywhere.add("CATCHALL", name="catchall")
    assert order(anywhere.scenarios) == ["catchall", "specific"]


def test_priority_stands_above_the_order(anywhere: Verbs, tmp_path: Path) -> None:
    anywhere.load(*written(tmp_path, both=f"{CATCHALL}---\npriority: 1\n{SPECIFIC}"))
    anywhere.add("newest", name="newest")
    assert said(anywhere, "weather in Paris") == "specific"
    assert said(anywhere, "anything") == "newest"


def test_two_of_one_name_in_one_call_are_told(anywhere: Verbs, tmp_path: Path) -> None:
    files = written(tmp_path, a=SPECIFIC, b=SPECIFIC)
    with pytest.raises(Exception, match=r"duplicate name 'specific'; first in .*a\.yaml:1"):
        anywhere.load(*files)
    with pytest.raises(Exception, match="duplicate name 'catchall'"):
        Http(anywhere.url, None)("POST", "scenarios", [AS_JSON[1], AS_JSON[1]])
    with pytest.raises(Exception, match="the body is neither a JSON object nor a list of them"):
        Http(anywhere.url, None)("POST", "scenarios", ["specific"])


def test_overlays_of_one_call_keep_it_too(anywhere: Verbs, tmp_path: Path) -> None:
    files = written(tmp_path, all="name: a\nfault: reset\n---\nname: b\nfault: stall\n")
    anywhere.chaos.load(*files)
    assert order(anywhere.chaos.all()) == ["a", "b"]


def test_the_marker_keeps_it_on_both_kinds_of_server(pytester: pytest.Pytester) -> None:
    pytester.makefile(".yaml", both=BOTH)
    pytester.makepyfile("""
import pytest

ASKED = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "weather in Paris"}]}

@pytest.mark.mock_scenarios("both.yaml")
def test_marked(mock_server):
    assert mock_server.explain(ASKED)["scenario"] == "specific"

def test_loaded(mock_server):
    mock_server.load("both.yaml")
    assert mock_server.explain(ASKED)["scenario"] == "specific"
""")
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly")
    pytester.runpytest_subprocess(*quiet).assert_outcomes(passed=2)
    with MockServer() as shared:
        pytester.runpytest_subprocess(*quiet, f"--mock-server-url={shared.url}").assert_outcomes(passed=2)
