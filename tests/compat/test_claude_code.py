"""The real Claude Code against the fixture, where it is installed: `npm install -g @anthropic-ai/claude-code`."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mock_server import generate, tool_use

CLAUDE = shutil.which("claude")
LIMIT = 50


installed = pytest.mark.skipif(
    CLAUDE is None, reason="no `claude` on the PATH: npm install -g @anthropic-ai/claude-code"
)


@installed
@pytest.mark.mock_scenarios("side-calls")
def test_it_plays_a_script_to_its_end_whatever_it_asks_beside(
    mock_server: Any, mock_server_env: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hello.py").write_text("print('hi')\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    read = tool_use("Read", {"file_path": str(tmp_path / "hello.py")})
    mock_server.add(turns=[read, "It prints hi."], when={"prompt": "hello.py"}, name="read")

    command = [str(CLAUDE), "-p", "What does hello.py do?"]
    done = subprocess.run(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False
    )

    assert done.stdout == "It prints hi.\n", done.stderr
    mock_server.assert_called(2)
    mock_server.assert_sequence("read", {"tool_result": {"of": "Read", "content": {"contains": "print('hi')"}}})
    assert {entry.scenario for entry in mock_server.journal if entry.side} <= {"side-title", "side-quota"}


SCHEMA = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}


@installed
@pytest.mark.mock_scenarios("side-calls")
@pytest.mark.parametrize("is_scripted", [True, False])
def test_it_gets_the_structured_output_that_it_insists_on(
    mock_server: Any, mock_server_env: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_scripted: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    mock_server.add("There are three." if is_scripted else generate(), when={"prompt": "eggs"}, name="eggs")

    command = [str(CLAUDE), "-p", "--output-format", "json", "--json-schema", json.dumps(SCHEMA), "How many eggs?"]
    done = subprocess.run(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False
    )

    told = json.loads(done.stdout)
    assert isinstance(told["structured_output"]["count"], int), done.stderr
    assert not told["is_error"]
    mock_server.assert_called(1, scenario="eggs")
    assert ("side-output" in [entry.scenario for entry in mock_server.journal]) is is_scripted
