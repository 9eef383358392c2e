"""Every setting of the server, once. Flags, environment variables and the table in the docs derive from the fields.

A leaf: imports nothing of the package. To add a setting, add a field to `Settings`.
"""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields, replace
from typing import Any, Literal, TypedDict

from mock_server.records import dataclass

PREFIX = "MOCK_SERVER_"
MOST_NAMES = 10  # that a mistake lists


class SettingError(ValueError):
    """A setting has a value it cannot have; the text names it and says what is allowed."""

    __module__ = "mock_server"  # as its users know it, and reports of tests name it


class Unusable(OSError):
    """A file or a folder that a setting names cannot be used; the text says which, and why."""


def _number(kind: type[int] | type[float], least: int, most: float, otherwise: str) -> Callable[[str], float]:
    """Reads a number within bounds; `otherwise` is the message for any other."""

    def read(text: str) -> float:
        number = kind(text)
        if not least <= number <= most:
            raise ValueError(otherwise)
        return number

    return read


_port = _number(int, 0, 65535, "a port is 0 to 65535")
_scale = _number(float, 0, 1000, "a time scale is 0 to 1000")
_count = _number(int, 1, math.inf, "expected a number from 1 up")
_seconds = _number(float, 0, 3600, "expected seconds, 0 to 3600")
_batch_seconds = _number(float, 0, 1_000_000, "expected seconds, 0 to 1000000")


def _flag(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in known:
        raise ValueError(f"expected one of {', '.join(known)}")
    return known[text.lower()]


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _profile(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+|.*\.ya?ml", text):
        raise ValueError("expected the name of a profile or a .yaml file")
    return text


def base_path(text: str) -> str:
    """The path as the server takes it. Raises ValueError for one it cannot serve."""
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise ValueError("expected a path such as /llm, of letters, digits and . _ ~ -")
    if path.startswith("/s/") or not {"v1", "_mock"}.isdisjoint(path.split("/")):
        raise ValueError("/v1, /_mock and /s/ are paths of the server itself")
    return path


LIMITS = ("requests", "input_tokens", "output_tokens", "tokens", "requests_per_second")


def _limits(text: str) -> str:
    if text not in ("on", "off"):
        limits(text)
    return text


def limits(text: str) -> dict[str, int]:
    """What `requests=5,input_tokens=1000` says. Raises ValueError for what it cannot mean."""
    found: dict[str, int] = {}
    for part in _names(text):
        name, _, value = part.partition("=")
        if name not in LIMITS or not value.isdecimal() or int(value) < 1:
            raise ValueError(f"{part}: expected off, on, or NAME=NUMBER with a name of {', '.join(LIMITS)}")
        found[name] = int(value)
    return found


def _redactions(text: str) -> tuple[str, ...]:
    listed = _names(text)
    for one in listed:
        if not re.fullmatch(r"\$(\.[^.\[\]]+|\[(\d+|\*)\])+|[A-Za-z0-9_.-]+(\[\])?", one):
            raise ValueError(f"{one}: expected a name (of a header, a parameter) or a path such as $.metadata.user_id")
    return listed


@dataclass(frozen=True)
class Option:
    """How one setting is written on the command line and in the environment."""

    help: str
    parse: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    metavar: str = ""
    repeatable: bool = False
    per_session: bool = False


def _option(default: Any, help: str, **how: Any) -> Any:
    return field(default=default, metadata={"option": Option(help, **how)})


@dataclass(frozen=True)
class Settings:
    """The settings of one server. Immutable: a change is a new object."""

    paths: tuple[str, ...] = _option(
        (), "scenario files and folders to serve; none: the built-in library", parse=_names, metavar="PATH"
    )
    host: str = _option("127.0.0.1", "address to listen on", metavar="HOST")
    port: int = _option(8787, "port to listen on; 0 picks a free one", parse=_port, metavar="PORT")
    base_path: str = _option(
        "",
        "path before /v1 that is served too, such as /llm; none: whatever stands before /v1",
        parse=base_path,
        metavar="PATH",
    )
    tls: str = _option(
        "off",
        "speak TLS with a certificate made at the start (extra `tls`); where its CA lies is printed",
        choices=("off", "self-signed"),
    )
    tls_cert: str | None = _option(
        None, "speak TLS with the certificate in this PEM file, its chain behind it", metavar="FILE"
    )
    tls_key: str | None = _option(None, "the key of that certificate; none: it is in the same file", metavar="FILE")
    profile: str = _option(
        "octen",
        "the API to emulate: octen, anthropic or a file that describes one",
        parse=_profile,
        metavar="NAME|FILE",
        per_session=True,
    )
    catalogue: str | None = _option(
        None,
        "which of the profile's lists of models to offer (octen: 2026-06, 2026-10)",
        metavar="NAME",
        per_session=True,
    )
    validation: str = _option(
        "strict",
        "what a request that breaks a rule gets: an error, an answer with a warning, or just an answer",
        choices=("strict", "warn", "off"),
        per_session=True,
    )
    unknown_parameters: Literal["ignore", "error"] | None = _option(
        None,
        "whether to ignore or refuse what the profile does not support; none: as the profile has it",
        choices=("ignore", "error"),
        per_session=True,
    )
    rate_limits: str = _option(
        "off",
        "off, on (the profile's limits), or limits such as requests=5,input_tokens=1000 per minute",
        parse=_limits,
        metavar="LIMITS",
        per_session=True,
    )
    seed: int | None = _option(
        None, "seed of ids, times and generated text; none: fresh ids", parse=int, metavar="N", per_session=True
    )
    time_scale: float = _option(
        1.0, "factor on every delay; 0: everything at once", parse=_scale, metavar="X", per_session=True
    )
    timing: str = _option(
        "model",
        "pace of replies that set none of their own; model: as the profile says of each model, else realistic",
        choices=("model", "instant", "fast", "realistic", "slow"),
        per_session=True,
    )
    unmatched: str = _option(
        "generate",
        "what answers a request no scenario matches: a generated reply or an error",
        choices=("generate", "error"),
        per_session=True,
    )
    contradictions: Literal["warn", "error", "off"] = _option(
        "warn",
        "a scripted reply that contradicts its request goes out, with a warning; error: it fails its test too",
        choices=("warn", "error", "off"),
        per_session=True,
    )
    generated_tools: Literal["forced", "matching"] = _option(
        "forced",
        "which tools a generated reply calls: those that tool_choice forces, or one that fits the prompt too",
        choices=("forced", "matching"),
        per_session=True,
    )
    api_key: tuple[str, ...] = _option(
        (),
        "accept only keys like this (a glob; repeatable); none: any key",
        parse=_names,
        metavar="GLOB",
        repeatable=True,
    )
    chaos: tuple[str, ...] = _option(
        (),
        "lay the overlays of this file over the replies of every scenario (repeatable)",
        parse=_names,
        metavar="FILE",
        repeatable=True,
    )
    any_model: bool = _option(False, "accept model names the profile does not list", parse=_flag, per_session=True)
    fast_retries: bool = _option(
        False,
        "have clients retry after 1 ms where a scripted error names no time of its own",
        parse=_flag,
        per_session=True,
    )
    batch_seconds: float = _option(
        5.0,
        "how long a message batch takes; 0: it has ended when first looked at, over 86400: the rest expires",
        parse=_batch_seconds,
        metavar="S",
        per_session=True,
    )
    files: str | None = _option(
        None, "folder for the bytes of uploaded files; none: they are held in memory", metavar="FOLDER"
    )
    file_bytes: int = _option(
        268_435_456,
        "how many bytes of files a session may hold",
        parse=_count,
        metavar="BYTES",
        per_session=True,
    )
    downloads: Literal["made", "all"] = _option(
        "made",
        "which files may be downloaded: those a model made, as the API has it, or uploaded ones too",
        choices=("made", "all"),
        per_session=True,
    )
    journal: str | None = _option(None, "append every exchange to this file, as JSON lines", metavar="FILE")
    redact: tuple[str, ...] = _option(
        (),
        "what the journal must not keep: the name of a header or of a query's parameter, or a path such as "
        "$.metadata.user_id (repeatable)",
        parse=_redactions,
        metavar="WHAT",
        repeatable=True,
    )
    journal_entries: int = _option(
        1000, "how many exchanges the journal keeps per session", parse=_count, metavar="N", per_session=True
    )
    journal_bytes: int = _option(64_000_000, "how much all journals keep together", parse=_count, metavar="BYTES")
    drain: float = _option(
        3.0, "seconds that replies under way get to end when the server is told to stop", parse=_seconds, metavar="S"
    )
    control_token: str | None = _option(
        None,
        "what the control API and the page ask for when bound beyond loopback; none: one is made and printed",
        metavar="TOKEN",
    )
    library_if_empty: bool = _option(
        False, "serve the built-in library where a folder holds no scenario file (yet); the image does", parse=_flag
    )
    reload: bool = _option(False, "load scenarios again when their files change", parse=_flag)
    log_level: str = _option(
        "info", "how much the log on stderr says", choices=("debug", "info", "warning", "error"), metavar="LEVEL"
    )


class SessionSettings(TypedDict, total=False):
    """The settings that a session may have of its own, as type checkers see them; a test holds it to the fields."""

    profile: str
    catalogue: str | None
    validation: Literal["strict", "warn", "off"]
    unknown_parameters: Literal["ignore", "error"] | None
    rate_limits: str
    seed: int | None
    time_scale: float
    timing: Literal["model", "instant", "fast", "realistic", "slow"]
    unmatched: Literal["generate", "error"]
    contradictions: Literal["warn", "error", "off"]
    generated_tools: Literal["forced", "matching"]
    any_model: bool
    fast_retries: bool
    batch_seconds: float
    file_bytes: int
    downloads: Literal["made", "all"]
    journal_entries: int


# what tests want of a server: at once, strict, and nothing made up
TESTING: SessionSettings = {
    "time_scale": 0.0,
    "unmatched": "error",
    "contradictions": "error",
    "fast_retries": True,
    "batch_seconds": 0.0,
}


class ServerSettings(SessionSettings, total=False):
    """All settings of a server but its paths, as type checkers see them; a test holds it to the fields."""

    host: str
    port: int
    base_path: str
    tls: Literal["off", "self-signed"]
    tls_cert: str | None
    tls_key: str | None
    api_key: tuple[str, ...]
    chaos: tuple[str, ...]
    files: str | None
    journal: str | None
    redact: tuple[str, ...]
    journal_bytes: int
    drain: float
    control_token: str | None
    library_if_empty: bool
    reload: bool
    log_level: Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class Row:
    """One setting as the command line, the environment and the docs know it."""

    name: str
    flag: str
    variable: str
    default: Any
    option: Option


def rows() -> list[Row]:
    """One row a setting, in the order of the fields."""
    return [
        Row(f.name, "--" + f.name.replace("_", "-"), PREFIX + f.name.upper(), f.default, f.metadata["option"])
        for f in fields(Settings)
    ]


def parse(row: Row, text: str, source: str) -> Any:
    """The value `text` means for this setting. `source`: the flag, variable or line that has it, for the error."""
    try:
        value = row.option.parse(text)
    except ValueError as problem:
        unclear = str(problem).startswith(("invalid literal", "could not convert"))
        reason = "expected a number" if unclear else str(problem)
        raise SettingError(f"{source}: {text!r} is not a valid value: {reason}") from None
    if row.option.choices and value not in row.option.choices:
        raise SettingError(f"{source}: {text!r} is not a valid value: choose from {', '.join(row.option.choices)}")
    return value


def of_session() -> list[Row]:
    """The rows of the settings that a session may have of its own."""
    return [row for row in rows() if row.option.per_session]


def changed(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """`settings` with a session's own in place. Raises SettingError for a name or a value that cannot be."""
    known = {row.name: row for row in of_session()}
    own: dict[str, Any] = {}
    for name, value in values.items():
        row = known.get(name)
        if row is None:
            raise SettingError(f"no setting of a session is named '{name}'{_near(name, known)}")
        if value is None and row.default is None:
            own[name] = None
            continue
        is_odd = row.default is not None and isinstance(value, bool) != isinstance(row.default, bool)
        if is_odd or not isinstance(value, str | int | float):  # no setting of a session is a list
            expected = "text or a number" if row.default is None else f"one like {row.default!r}"
            raise SettingError(f"{name}: {value!r} is not a valid value: expected {expected}")
        own[name] = parse(row, str(value), name)
    return replace(settings, **own)


def from_lines(lines: Iterable[str], source: str) -> dict[str, Any]:
    """The settings of lines such as `seed = 3`. `source`: where they stand. Raises SettingError."""
    known = {row.name: row for row in rows()}
    found: dict[str, Any] = {}
    for line in lines:
        name, _, value = (part.strip() for part in line.partition("="))
        if name not in known:
            raise SettingError(f"{source}: no setting is named '{name}'{_near(name, known)}")
        found[name] = parse(known[name], value, f"{source}: {name}")
    return found


def spelled(value: Any) -> str:
    """A value as the user would write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def from_environment(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The settings that `MOCK_SERVER_*` variables give; an empty variable counts as unset, and so does a link."""
    linked = service_link(environ)
    return {
        row.name: parse(row, environ[row.variable], row.variable)
        for row in rows()
        if environ.get(row.variable) and row.variable != linked
    }


def misspelt(environ: Mapping[str, str] = os.environ) -> list[tuple[str, str]]:
    """Variables that are none of ours and differ by two letters at most from one that is, each with that one. What
    Kubernetes sets for a service named `mock-server` (`…_SERVICE_HOST`, `…_PORT_8787_TCP`) is passed over.
    """
    known = [row.variable for row in rows()]
    found = []
    for name in sorted(environ):
        if len(name) < 60 and "MOCK" in name.upper() and name not in known and not _LINK.fullmatch(name):
            near = min(known, key=lambda one: _apart(name, one))
            if _apart(name, near) <= 2:
                found.append((name, near))
    return found


def _near(name: str, known: Iterable[str]) -> str:
    """What to say behind a name that no setting has: the one that was meant, where one is near, else some."""
    names = list(known)
    near = min(names, key=lambda one: _apart(name[:60], one))
    if _apart(name[:60], near) <= 2:
        return f"; did you mean '{near}'?"
    more = f" or {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"; known are {', '.join(names[:MOST_NAMES])}{more}"


_LINK = re.compile(r"MOCK_SERVER_(SERVICE_(HOST|PORT.*)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")


def _apart(one: str, other: str) -> int:
    """How many letters have to be put in, taken out or changed to make one word of the other."""
    before = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        row = [at]
        for across, wanted in enumerate(other, 1):
            row.append(min(before[across] + 1, row[-1] + 1, before[across - 1] + (letter != wanted)))
        before = row
    return before[-1]


def service_link(environ: Mapping[str, str] = os.environ) -> str | None:
    """The variable of ours that Kubernetes has set for a service named `mock-server`: an address, no port."""
    name = PREFIX + "PORT"
    return name if re.fullmatch(r"(tcp|udp|sctp)://\S+:\d+", environ.get(name, "")) else None
