"""What each attack does to another client's wait and to the server's memory, as the table of docs/reliability.md."""

import http.client
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import heartbeat
from attacks import ACCENT, BENT, CONTROL, FAULTS, PROMPT, SEARCHES, TEXTS, TOLD
from server import test_large, test_requests, test_schemas

DOC = Path(__file__).parents[2] / "docs/reliability.md"
BEGIN, END = "<!-- a run of the harness: begin -->", "<!-- a run of the harness: end -->"


class Row(NamedTuple):
    attack: str
    sent_kb: int
    status: int
    wait_ms: int
    busy: float
    memory_mb: int


class Sent(NamedTuple):
    """One request: what makes its body, its headers and where it goes to."""

    make: Callable[[], bytes]
    headers: Mapping[str, str] = {}
    path: str = "/v1/messages"
    method: str = "POST"


Attacks = Mapping[str, Sent]


def rows() -> Iterator[Row]:
    """One attack after another, each kind on a server of its own that has answered before. Those with large bodies have
    one each, as the memory of the one before is not all given back."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "attacks.yaml"
        scripted: list[Any] = [
            {"name": name, "when": "named", "reply": {"template": said}} for name, (said, _) in TOLD.items()
        ]
        for at, (pattern, _) in enumerate(SEARCHES):
            when = {"header": {"x-search": str(at)}, "prompt": {"regex": pattern}}
            scripted.append({"name": f"search {at}", "when": when, "reply": "Found"})
        scripted += [{"name": "bent", "when": "named", "reply": BENT}, ACCENT]
        file.write_text("\n---\n".join(map(json.dumps, scripted)))
        for kind, attacks in _kinds().items():
            yield from _of_kind(kind, file, attacks, is_apart=kind == "large body")


def names() -> list[str]:
    """The attacks as the table calls them."""
    return [f"{kind}: {name}" for kind, attacks in _kinds().items() for name in attacks]


def names_told() -> list[str]:
    """The attacks of the table in the document."""
    _, _, table = DOC.read_text().partition("| attack |")
    lines = table.partition(END)[0].splitlines()
    return [line.removeprefix("| ").partition(" | ")[0] for line in lines[2:] if line]


def _kinds() -> Mapping[str, Attacks]:
    bent = {"x-mock-scenario": "bent"}
    return {
        "large body": {name: Sent(one[0]) for name, one in test_large.ATTACKS.items()},
        "schema": {name: Sent(_json(body)) for name, body in test_schemas.ATTACKS.items()},
        "request": {
            **{name: Sent(make, test_requests.BETAS) for name, make in test_requests.ATTACKS.items()},
            **{name: Sent(make, head, path) for name, (path, head, make) in test_requests.OTHERS.items()},
        },
        "search": {
            f"`{pattern}`".replace("|", "\\|"): Sent(_json(_prompt(text)), {"x-search": str(at)})
            for at, (pattern, text) in enumerate(SEARCHES)
        },
        "text": {name: Sent(_json(_prompt(text))) for name, text in TEXTS.items()},
        "template": {name: Sent(_json(_prompt()), {"x-mock-scenario": name}) for name in TOLD},
        "fault": {
            name: Sent(_json({**_prompt("Hi"), "max_tokens": 64_000, "stream": True}), {**bent, "x-mock-fault": header})
            for name, (header, _) in FAULTS.items()
        },
        "control": {
            name: Sent(one.body, {"content-type": one.type}, f"/_mock/{one.path}", one.method)
            for name, one in CONTROL.items()
        },
    }


def _json(body: Mapping[str, Any]) -> Callable[[], bytes]:
    return lambda: json.dumps(body).encode()


def _prompt(text: str = PROMPT) -> dict[str, Any]:
    return {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}


def _of_kind(kind: str, file: Path, attacks: Attacks, *, is_apart: bool) -> Iterator[Row]:
    left = list(attacks.items())
    while left:
        now, left = (left[:1], left[1:]) if is_apart else (left, [])
        with heartbeat.served(str(file), "--time-scale", "0") as at:
            test_large.ask(at, test_large.body("Hi"))
            pid = test_large._pid(at[1])
            for name, sent in now:
                data = sent.make()
                before = test_large.memory(pid, "VmRSS")
                (Path("/proc") / str(pid) / "clear_refs").write_text("5")  # the peak begins anew
                waited = heartbeat.during(at, lambda: _status(at, sent, data))  # noqa: B023 # called here
                grown = max(0, test_large.memory(pid, "VmHWM") - before) >> 20
                ms = round(waited.longest * 1000)
                yield Row(f"{kind}: {name}", len(data) >> 10, waited.result, ms, round(waited.busy, 1), grown)


def _status(at: tuple[str, int], sent: Sent, data: bytes) -> int:
    with closing(http.client.HTTPConnection(*at, timeout=60)) as client:
        client.request(
            sent.method, sent.path, data, {"x-api-key": "k", "anthropic-version": "2023-06-01", **sent.headers}
        )
        reply = client.getresponse()
        reply.read()
        return reply.status


def told(found: list[Row]) -> str:
    lines = ["| attack | sent | status | another client waits | busy | memory |", "|---|--:|--:|--:|--:|--:|"]
    lines += [
        f"| {r.attack} | {r.sent_kb:,} kB | {r.status} | {r.wait_ms} ms | {r.busy} | +{r.memory_mb} MB |" for r in found
    ]
    return "\n".join(lines)


def write(head: str, tried: str, table: str) -> None:
    """Put the numbers of a run into the document. `tried`: how much was fuzzed; what stands there stays if nothing was."""
    said = DOC.read_text()
    tried = tried or said.partition(BEGIN)[2].partition("\n\n")[2].partition("\n\n| attack |")[0]
    text = "\n\n".join([head, tried, table])
    DOC.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", said, flags=re.DOTALL))
