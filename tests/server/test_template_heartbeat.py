"""While a template does its worst, another client is answered."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attacks import PROMPT, TOLD
from heartbeat import LONGEST, longest_wait
from rawclient import answer, asks, post

from mock_server import MockServer

WORST = {
    "much text": "{% for i in range(999) %}" + "word " * 10 + "{% endfor %}",
    "all steps, then text": "{% for i in range(9000) %}{% endfor %}" + "word " * 9_900,
}
ATTACKS = {**{name: template for name, (template, _) in TOLD.items()}, **WORST}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockServer]:
    """A server that has every attack as a scenario, by its name."""
    file: Path = tmp_path_factory.mktemp("attacks") / "attacks.yaml"
    written = [{"name": name, "when": "named", "reply": {"template": template}} for name, template in ATTACKS.items()]
    file.write_text("\n---\n".join(map(json.dumps, [*written, {"name": "beat", "reply": "beat"}])))
    with MockServer(file) as server:
        yield server


@pytest.mark.parametrize("name", ATTACKS)
def test_another_client_is_answered_meanwhile(name: str, attacked: MockServer, talk: Callable[..., bytes]) -> None:
    attack = post(
        asks(PROMPT, max_tokens=64_000), "x-api-key: a", "anthropic-version: 2023-06-01", f"x-mock-scenario: {name}"
    )
    beat = post(asks("Hi"), "x-api-key: b", "anthropic-version: 2023-06-01")

    assert answer(talk(attacked, attack))[0] == (500 if name in TOLD else 200)
    assert longest_wait(lambda: talk(attacked, beat), lambda: talk(attacked, attack)) <= LONGEST
