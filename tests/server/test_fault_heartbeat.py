"""While a request asks for all the faults there are, or has more accents than letters, or the control API is asked for
too much, another client is answered.
"""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from attacks import ACCENT, BENT, CONTROL, FAULTS, TEXTS
from heartbeat import during, served
from rawclient import asks


@pytest.fixture(scope="module")
def bent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A server whose reply is long, and that asks for a word with an accent."""
    file = tmp_path_factory.mktemp("bent") / "bent.yaml"
    file.write_text("\n---\n".join(map(json.dumps, [ACCENT, {"name": "bent", "reply": BENT}])))
    with served(str(file), "--time-scale", "0") as address:
        yield address


def ask(address: tuple[str, int], method: str, path: str, data: bytes, **headers: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(*address, timeout=60)) as client:
        client.request(method, path, data, {"x-api-key": "k", "anthropic-version": "2023-06-01", **headers})
        reply = client.getresponse()
        return reply.status, reply.read()


@pytest.mark.parametrize("attack", FAULTS)
def test_another_client_is_answered_while_faults_are_applied(attack: str, bent: tuple[str, int]) -> None:
    header, status = FAULTS[attack]
    data = asks("Hi", max_tokens=64_000, stream=True)

    waited = during(bent, lambda: ask(bent, "POST", "/v1/messages", data, **{"x-mock-fault": header}))

    assert waited.result[0] == status, waited.result[1][:300]
    assert len(waited.result[1]) < 50_000_000
    assert not waited.is_held, waited


@pytest.mark.parametrize("attack", TEXTS)
def test_another_client_is_answered_while_letters_are_composed(attack: str, bent: tuple[str, int]) -> None:
    waited = during(bent, lambda: ask(bent, "POST", "/v1/messages", asks(TEXTS[attack])))

    assert waited.result[0] == 200, waited.result[1][:300]
    assert not waited.is_held, waited


@pytest.mark.parametrize("attack", CONTROL)
def test_another_client_is_answered_while_the_control_api_is_asked(attack: str, bent: tuple[str, int]) -> None:
    method, path, make, status, kind = CONTROL[attack]
    data = make()

    waited = during(bent, lambda: ask(bent, method, f"/_mock/{path}", data, **{"content-type": kind}))

    assert waited.result[0] == status, waited.result[1][:300]
    assert not waited.is_held, waited


def test_what_is_too_large_to_be_read_while_others_wait_says_so(bent: tuple[str, int]) -> None:
    status, body = ask(bent, "PUT", "/_mock/states", json.dumps({"a": "x" * 65_536}).encode())
    assert (status, json.loads(body)) == (
        413,
        {"error": "a body of 65,545 bytes is read while others wait", "hint": "65,536 at most here; send it in parts"},
    )
