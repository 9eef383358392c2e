"""Every Python block of docs/testing.md runs, and the options it names exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parent.parent / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_tests_on_the_page_pass(pytester: pytest.Pytester) -> None:
    files = {f"test_block_{n}": block for n, block in enumerate(BLOCKS) if "\ndef test_" in block}
    pytester.makepyfile(**files)
    plugins = ("no:cacheprovider", "no:randomly", "no:asyncio", "no:rerunfailures")
    result = pytester.runpytest_subprocess("-q", *(word for name in plugins for word in ("-p", name)))
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] > sum(block.count("\ndef test_") for block in files.values())  # one is a whole matrix


def test_the_other_blocks_run() -> None:
    others = [block for block in BLOCKS if "\ndef test_" not in block]
    assert others
    for block in others:
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr


def test_the_options_it_names_exist(pytester: pytest.Pytester) -> None:
    text = "\n".join(pytester.runpytest_subprocess("--help", "--markers").outlines)
    text += "\n".join(pytester.runpytest_subprocess("--markers").outlines)
    text += "\n".join(pytester.runpytest_subprocess("--fixtures").outlines)
    for name in set(re.findall(r"(mock_server_\w+|--mock-[a-z-]+|mock_scenarios|mock_settings)", PAGE)):
        assert name in text, name


def test_the_failure_it_shows_is_what_a_failure_says(mock_server) -> None:  # type: ignore[no-untyped-def]
    import anthropic

    mock_server.add("It is sunny.", when={"prompt": "weather"})
    with anthropic.Anthropic(base_url=mock_server.url, api_key="k") as client:
        client.messages.create(
            model="claude-opus-4-8", max_tokens=9, messages=[{"role": "user", "content": "How is the weather?"}]
        )
    (shown,) = re.findall(r"```text\n(expected at least.*?)\n```", PAGE, re.DOTALL)
    with pytest.raises(AssertionError) as caught:
        mock_server.assert_called(when={"prompt": "wether"})
    assert str(caught.value) == shown
