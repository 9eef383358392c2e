"""While a scenario does its worst, another client is answered."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attacks import PROMPT, SEARCHES, TOLD
from heartbeat import during, served
from rawclient import answer, asks, dechunked, post

from mock_server.protocol.message import fold
from mock_server.protocol.sse import parse

WORST = {
    "much text": "{% for i in range(999) %}" + "word " * 10 + "{% endfor %}",
    "all steps, then text": "{% for i in range(9000) %}{% endfor %}" + "word " * 9_900,
}
LONG = {
    "prose": {"generate": {"tokens": 20_000}},
    "json": {"generate": {"tokens": 20_000, "style": "json"}},
    "sentences": {"generate": {"tokens": 60_000}, "timing": {"chunk": "sentence"}},
    "written": {"reply": "word " * 19_000},
}  # made beside everything else
ATTACKS = {**{name: template for name, (template, _) in TOLD.items()}, **WORST}


LOOKING_BACK = [
    {"name": f"looks back {at}", "anchor": "conversation", "when": when, "turns": [{"reply": "x"}, {"reply": "y"}]}
    for at in range(10)
    for when in [{"header": {"x-looks": "back"}, "prompt": "turn"}]
]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A server that has every attack as a scenario, by its name."""
    file: Path = tmp_path_factory.mktemp("attacks") / "attacks.yaml"
    written = [{"name": name, "when": "named", "reply": {"template": template}} for name, template in ATTACKS.items()]
    written += [{"name": name, "when": "named", **long} for name, long in LONG.items()]
    written += [
        {
            "name": f"search {at}",
            "when": {"header": {"x-search": str(at)}, "prompt": {"regex": pattern}},
            "reply": "Found",
        }
        for at, (pattern, _) in enumerate(SEARCHES)
    ]
    file.write_text("\n---\n".join(map(json.dumps, [*written, *LOOKING_BACK])))
    with served(str(file), "--time-scale", "0") as address:
        yield address


@pytest.mark.parametrize("name", ATTACKS)
def test_another_client_is_answered_meanwhile(name: str, attacked: tuple[str, int], talk: Callable[..., bytes]) -> None:
    attack = post(
        asks(PROMPT, max_tokens=64_000), "x-api-key: a", "anthropic-version: 2023-06-01", f"x-mock-scenario: {name}"
    )

    assert answer(talk(attacked, attack))[0] == (500 if name in TOLD else 200)
    waited = during(attacked, lambda: talk(attacked, attack))
    assert not waited.is_held, waited


@pytest.mark.parametrize("at", range(len(SEARCHES)), ids=[pattern for pattern, _ in SEARCHES])
def test_another_client_is_answered_while_a_scenario_searches(
    at: int, attacked: tuple[str, int], talk: Callable[..., bytes]
) -> None:
    attack = post(asks(SEARCHES[at][1]), "x-api-key: a", "anthropic-version: 2023-06-01", f"x-search: {at}")

    status, _, body = answer(talk(attacked, attack))
    assert status == 200 or (status, b"in one request" in body) == (500, True), body
    waited = during(attacked, lambda: talk(attacked, attack))
    assert not waited.is_held, waited


def test_another_client_is_answered_while_scenarios_look_back_through_a_long_conversation(
    attacked: tuple[str, int], talk: Callable[..., bytes]
) -> None:
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": f"turn {at}"} for at in range(49_999)]
    body = json.dumps({"model": "claude-opus-4-8", "max_tokens": 9, "messages": messages}).encode()
    attack = post(body, "x-api-key: a", "anthropic-version: 2023-06-01", "x-looks: back")

    assert answer(talk(attacked, attack))[0] == 200
    waited = during(attacked, lambda: talk(attacked, attack))
    assert not waited.is_held, waited


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", LONG)
def test_another_client_is_answered_while_a_long_reply_is_made_up(
    name: str, stream: bool, attacked: tuple[str, int], talk: Callable[..., bytes]
) -> None:
    headers = ("x-api-key: a", "anthropic-version: 2023-06-01", f"x-mock-scenario: {name}")
    attack = post(asks("Hi", max_tokens=64_000, stream=stream), *headers)

    once, again = (answer(talk(attacked, attack)) for _ in range(2))
    assert (once[0], len(once[2]) > 20_000, again[0]) == (200, True, 200)
    waited = during(attacked, lambda: talk(attacked, attack))
    assert not waited.is_held, waited


def test_a_long_reply_says_the_same_again_and_as_a_stream(
    attacked: tuple[str, int], talk: Callable[..., bytes]
) -> None:
    def said(stream: bool) -> str:
        headers = ("x-api-key: a", "anthropic-version: 2023-06-01", "x-mock-scenario: prose")
        _, _, body = answer(talk(attacked, post(asks("Hi", max_tokens=64_000, stream=stream), *headers)))
        message = fold(parse(dechunked(body))) if stream else json.loads(body)
        return str(message["content"][0]["text"])

    once, streamed, again = said(False), said(True), said(False)
    assert once == streamed == again
    assert len(once) > 40_000


@pytest.mark.parametrize("asked", ["preview", "explain"])
@pytest.mark.parametrize("name", ["recursive macro", "doubled list: eq", "fake paragraphs"])
def test_another_client_is_answered_while_the_page_asks(
    asked: str, name: str, attacked: tuple[str, int], talk: Callable[..., bytes]
) -> None:
    request = json.loads(asks(PROMPT))
    said = {"scenario": name, "request": request, "headers": {"x-mock-scenario": name}}
    attack = post(json.dumps(said).encode(), "content-type: application/json", path=f"/_mock/{asked}").replace(
        b"host: test", b"host: localhost"
    )

    assert "it takes more than 20,000 steps" in answer(talk(attacked, attack))[2].decode()
    waited = during(attacked, lambda: talk(attacked, attack))
    assert not waited.is_held, waited


def test_a_long_reply_is_not_made_up_for_the_page(attacked: tuple[str, int], talk: Callable[..., bytes]) -> None:
    attack = post(b'{"scenario": "prose"}', "content-type: application/json", path="/_mock/preview")
    attack = attack.replace(b"host: test", b"host: localhost")
    (exchange,) = json.loads(answer(talk(attacked, attack))[2])["exchanges"]
    assert exchange["note"] == "so long a reply is made up only when a request asks for it"
