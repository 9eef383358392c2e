"""What each attack does to another client's wait and to the server's memory, as the table of docs/reliability.md."""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import heartbeat
from attacks import PROMPT, SEARCHES, TOLD
from server import test_large, test_schemas

DOC = Path(__file__).parents[2] / "docs/reliability.md"
BEGIN, END = "<!-- a run of the harness: begin -->", "<!-- a run of the harness: end -->"


class Row(NamedTuple):
    attack: str
    sent_kb: int
    status: int
    wait_ms: int
    busy: float
    memory_mb: int


def rows() -> Iterator[Row]:
    """One attack after another, each kind on a server of its own that has answered before."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "attacks.yaml"
        scripted = [{"name": name, "when": "named", "reply": {"template": said}} for name, (said, _) in TOLD.items()]
        for at, (pattern, _) in enumerate(SEARCHES):
            when = {"header": {"x-search": str(at)}, "prompt": {"regex": pattern}}
            scripted.append({"name": f"search {at}", "when": when, "reply": "Found"})
        file.write_text("\n---\n".join(map(json.dumps, scripted)))
        large: Mapping[str, Callable[[], bytes]] = {name: one[0] for name, one in test_large.ATTACKS.items()}
        yield from _kind("large body", file, {name: (make, {}) for name, make in large.items()}, is_apart=True)
        yield from _kind(
            "schema", file, {name: (_json(body), {}) for name, body in test_schemas.ATTACKS.items()}, is_apart=False
        )
        searches = {
            f"`{pattern}`".replace("|", "\\|"): (_json(_prompt(text)), {"x-search": str(at)})
            for at, (pattern, text) in enumerate(SEARCHES)
        }
        yield from _kind("search", file, searches, is_apart=False)
        templates = {name: (_json(_prompt()), {"x-mock-scenario": name}) for name in TOLD}
        yield from _kind("template", file, templates, is_apart=False)


def _json(body: Mapping[str, Any]) -> Callable[[], bytes]:
    return lambda: json.dumps(body).encode()


def _prompt(text: str = PROMPT) -> dict[str, Any]:
    return {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}


Attacks = Mapping[str, tuple[Callable[[], bytes], Mapping[str, str]]]


def _kind(kind: str, file: Path, attacks: Attacks, *, is_apart: bool) -> Iterator[Row]:
    """`is_apart`: each on a server of its own, as the memory of the one before is not all given back."""
    left = list(attacks.items())
    while left:
        now, left = (left[:1], left[1:]) if is_apart else (left, [])
        with heartbeat.served(str(file), "--time-scale", "0") as at:
            test_large.ask(at, test_large.body("Hi"))
            pid = test_large._pid(at[1])
            for name, (make, headers) in now:
                data = make()
                before = test_large.memory(pid, "VmRSS")
                (Path("/proc") / str(pid) / "clear_refs").write_text("5")  # the peak begins anew
                waited = heartbeat.during(at, lambda: test_large.ask(at, data, **headers))  # noqa: B023 # called here
                grown = max(0, test_large.memory(pid, "VmHWM") - before) >> 20
                ms = round(waited.longest * 1000)
                yield Row(f"{kind}: {name}", len(data) >> 10, waited.result[0], ms, round(waited.busy, 1), grown)


def told(found: list[Row]) -> str:
    lines = ["| attack | sent | status | another client waits | busy | memory |", "|---|--:|--:|--:|--:|--:|"]
    lines += [
        f"| {r.attack} | {r.sent_kb:,} kB | {r.status} | {r.wait_ms} ms | {r.busy} | +{r.memory_mb} MB |" for r in found
    ]
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the numbers of a run into the document."""
    said = DOC.read_text()
    DOC.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", said, flags=re.DOTALL))
