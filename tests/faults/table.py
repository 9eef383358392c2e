"""The table of faults as typed rows, and the scenarios that play them. What a row expects is in table.yaml."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from mock_server.protocol.sse import dumps
from mock_server.scenario.faults import faults_of, label

FILE = Path(__file__).with_name("table.yaml")
# what is replied where nothing goes wrong
REPLIES: Mapping[str, str] = {
    "text": "One two three four five.",
    "accents": "Un deux trois quatre — cinq.",
    "tool": "[{type: tool_use, name: get_weather, input: {city: Paris, unit: celsius}}]",
    "two": "[One two., Three four.]",
    "thinking": "[{type: thinking, thinking: Let me count.}, One two three four five.]",
}
# the text of those that are not one text
WHOLE: Mapping[str, str] = {"two": "One two.Three four.", "thinking": REPLIES["text"]}

# the class of the exception, or `ok`; and the text that had arrived
Told = tuple[str, str]


@dataclass(frozen=True)
class Seen:
    """What a raw socket sees. `warned`: the reply is whole, and a header says that the fault does not apply."""

    status: int | None
    ends: Literal["ended", "FIN", "RST", "open"]
    last: bytes
    headers: Mapping[str, str]
    warned: bool


@dataclass(frozen=True)
class Way:
    """One way of asking: as a stream or as JSON. `told`: by (client, way of calling). `final`: of a report, how the
    finished message ended and its tokens, by client; none where there is no such message."""

    row: "Row"
    stream: bool
    seen: Seen
    told: Mapping[tuple[str, str], Told]
    retried: bool
    final: Mapping[str, str]

    @property
    def id(self) -> str:
        return f"{self.row.name}-{'stream' if self.stream else 'json'}"


@dataclass(frozen=True)
class Row:
    """One fault, or several, on one reply. `report`: what people reported that it plays; empty for none."""

    faults: Sequence[Mapping[str, Any]]
    about: str
    reply: str
    data: Mapping[str, Any]
    report: str = ""

    @cached_property
    def name(self) -> str:
        """What its scenario and its tests are called."""
        words = "-and-".join(label(fault) for fault in faults_of(self.faults, "table.yaml"))
        return re.sub(r'[\s\[\]"\\]+', "-", words) + ("" if self.reply == "text" else f"-of-{self.reply}")

    @property
    def types(self) -> set[str]:
        return {str(fault["type"]) for fault in self.faults}

    @property
    def whole(self) -> str:
        """The text of the reply where nothing goes wrong."""
        return WHOLE.get(self.reply, REPLIES[self.reply])

    @property
    def scenario(self) -> str:
        reply = REPLIES[self.reply]
        meant = "contradicts: true\n" if self.reply == "thinking" else ""  # nobody asks for the thought
        return f"name: {self.name}\nwhen: named\n{meant}reply: {reply}\nfault: {dumps(list(self.faults))}\n"

    @cached_property
    def ways(self) -> tuple[Way, ...]:
        return tuple(self._way(kind == "stream", self.data[kind]) for kind in ("stream", "json") if kind in self.data)

    def _way(self, stream: bool, data: Mapping[str, Any]) -> Way:
        socket = data["socket"]
        seen = Seen(
            socket["status"],
            socket["ends"],
            socket.get("last", "").encode("latin-1"),
            socket.get("headers", {}),
            socket.get("warned", False),
        )
        told = {
            (client, how): (error, text)
            for client in ("python", "older", "js", "langchain")
            for how, (error, text) in data.get(client, {}).items()
        }
        return Way(self, stream, seen, told, data.get("retried", False), data.get("final", {}))


def rows() -> tuple[Row, ...]:
    """Every row of the table."""
    listed = yaml.safe_load(FILE.read_text("utf-8"))
    return tuple(
        Row(
            one["fault"] if isinstance(one["fault"], list) else [one["fault"]],
            one["about"],
            one.get("reply", "text"),
            one,
            one.get("report", ""),
        )
        for one in listed
    )


ROWS = rows()
WAYS = tuple(way for row in ROWS for way in row.ways)
SCENARIOS = "---\n".join(row.scenario for row in ROWS)
