"""The real Claude Code against the fixture, where it is installed: `npm install -g @anthropic-ai/claude-code`."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mock_server import tool_use

CLAUDE = shutil.which("claude")
LIMIT = 50


@pytest.mark.skipif(CLAUDE is None, reason="no `claude` on the PATH: npm install -g @anthropic-ai/claude-code")
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
