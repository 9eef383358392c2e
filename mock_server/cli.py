"""The command line: `mock-server [serve]`, `check`, `preview`, … A command is one function and its row in `COMMANDS`;
those for authors of scenarios have a file each in `commands/`.

Exit codes: 0 done, 1 the thing asked about is not so, 2 a mistake of the caller, said in clear lines on stderr.
"""

import argparse
import asyncio
import importlib
import io
import itertools
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mock_server import settings as configuration
from mock_server.commands import Mistake
from mock_server.scenario.load import library
from mock_server.scenario.node import ScenarioError
from mock_server.settings import Row, SettingError, Settings, Unusable
from mock_server.version import VERSION

WANTED_FILES = 65_536


# -- serve ----------------------------------------------------------------------------------------------------------


def serve(given: argparse.Namespace) -> int:
    """Run the server until SIGTERM or Ctrl-C."""
    settings = _settings(given)
    _log(settings.log_level)
    _raise_file_limit()
    paths: Sequence[Any] = settings.paths or (library(),)
    return _run(_serve(settings, paths))


def _run(main: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop where the extra `fast` is installed: it is the faster loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    code: int = uvloop.run(main)
    return code


async def _serve(settings: Settings, paths: Sequence[Any]) -> int:
    from mock_server.server import garbage
    from mock_server.server.runner import Runner  # aiohttp: not for the other commands

    runner = Runner(settings, paths)
    stopped, hurried = asyncio.Event(), asyncio.Event()
    _on_signals(lambda: hurried.set() if stopped.is_set() else stopped.set())
    try:
        await runner.start()
    except Unusable as error:
        raise Mistake(str(error)) from None
    except OSError as error:
        raise Mistake(f"cannot listen on {settings.host}:{settings.port}: {_why(error)}") from None
    except OverflowError as error:
        raise Mistake(f"cannot listen on {settings.host}:{settings.port}: {error}") from None
    garbage.settle()
    collecting = asyncio.create_task(garbage.Collector(runner.came, runner.under_way).run(), name="mock-server garbage")
    _say(runner.url, runner.engine.scenarios, paths, settings.chaos)
    if runner.token is not None and settings.control_token is None:
        print(f"  control token (page and /_mock/): {runner.token}", flush=True)
    await stopped.wait()
    await runner.drain(hurried)
    collecting.cancel()
    await runner.stop()
    return 0


def _why(error: OSError) -> str:
    return "the port is in use" if "address already in use" in str(error).lower() else (error.strerror or str(error))


def _on_signals(call: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, call)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))


def _say(url: str, scenarios: int, paths: Sequence[Any], chaos: Sequence[str]) -> None:
    """The first line is for machines, the rest for people."""
    over = f", with the chaos of {', '.join(chaos)}" if chaos else ""
    lines = [
        f"mock-server listening on {url}",
        f"{scenarios} scenarios from {', '.join(map(str, paths))}" + over,
        "try it:",
        f"  curl -N {url}/v1/messages -H 'x-api-key: any' -H 'x-mock-scenario: hello' -d "
        '\'{"model":"claude-opus-4-8","max_tokens":99,"stream":true,"messages":[{"role":"user","content":"Hi"}]}\'',
        f"  export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=any     # then run your SDK, agent or CLI",
        f"  the journal, live: {url}/",
    ]
    print("\n".join(lines), flush=True)


def _raise_file_limit() -> None:
    """Each open stream is a file; the usual soft limit of 1,024 is soon reached."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        logging.getLogger("mock_server").info("open files: limit raised from %d to %d", soft, wanted)


def _log(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )


# -- asking a running server ----------------------------------------------------------------------------------------


def health(given: argparse.Namespace) -> int:
    """Ask a running server whether it is well: exit 0 if so, 1 if not."""
    import urllib.error
    import urllib.request

    settings = _settings(given)
    url = f"http://{_reachable(settings.host)}:{settings.port}/_mock/health"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            print(answer.read().decode())
            return 0
    except urllib.error.HTTPError as error:
        print(error.read().decode())
        return 1
    except (OSError, urllib.error.URLError) as error:
        print(f"no answer from {url}: {error}", file=sys.stderr)
        return 1


def journal(given: argparse.Namespace) -> int:
    """Print the exchanges of a running server, oldest first; with --follow also those to come."""
    from mock_server.client import Http, Refused, Unreachable

    settings = _settings(given)
    http = Http(f"http://{_reachable(settings.host)}:{settings.port}", settings.control_token)
    try:
        page = http("GET", "journal", session=given.session, limit=given.limit)
        lines = page["entries"][::-1] if not given.follow else http.events("journal/stream", session=given.session)
        for one in lines:
            print(_line(one), flush=True)
    except (Refused, Unreachable) as error:
        raise Mistake(str(error)) from None
    return 0


def _line(entry: Mapping[str, Any]) -> str:
    """One exchange: number, time, session, what was said, what it got."""
    at = time.strftime("%H:%M:%S", time.localtime(entry["at"]))
    by = f"{entry['scenario']} turn {entry['turn']}" if entry["scenario"] else entry["note"].split("\n")[0]
    said = " ".join(entry["prompt"].split())
    took = "" if entry["duration_ms"] is None else f" in {entry['duration_ms']:.0f} ms"
    by += " (side call)" if entry["side"] else ""
    told = f"{entry['method']} {entry['path']} {said[:60]!r} -> {entry['status']} {by}, {entry['outcome']}{took}"
    return f"{entry['number']:>6} {at} {entry['session']} {told}"


def _reachable(host: str) -> str:
    """The address to ask a server at that is bound to all of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104


def _journal_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what comes")
    parser.add_argument("--session", metavar="NAME", help="only this session")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="how many (default 100, at most 1000)")


# -- the parser -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A command: what runs, what `--help` says, which settings it takes."""

    run: Callable[[argparse.Namespace], int]
    help: str
    settings: tuple[str, ...]
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None


_ALL = tuple(row.name for row in configuration.rows())
_AUTHOR = ("profile", "catalogue", "any_model", "timing", "time_scale", "seed", "unknown_parameters")


def _author(module: str, help: str, settings: tuple[str, ...] = ("paths",)) -> Command:
    """A command of `commands/`, imported only when it is meant: `health` has to be quick."""

    def run(given: argparse.Namespace) -> int:
        code: int = _module(module).run(given, _settings(given))
        return code

    def options(parser: argparse.ArgumentParser) -> None:
        found = _module(module)
        parser.description = (found.run.__doc__ or "").strip()
        if hasattr(found, "options"):
            found.options(parser)

    return Command(run, help, settings, options)


def _module(name: str) -> Any:
    return importlib.import_module(f"mock_server.commands.{name}")


COMMANDS: Mapping[str, Command] = {
    "serve": Command(serve, "run the server (the default command)", _ALL),
    "check": _author("check", "report the mistakes in scenario files", ("paths", *_AUTHOR)),
    "preview": _author("preview", "show what a scenario sends, and when", ("paths", *_AUTHOR)),
    "explain": _author("explain", "tell which scenario answers a request, and why", ("paths", *_AUTHOR)),
    "faults": _author("faults", "list a scenario with every fault at every event"),
    "list": _author("listing", "list the scenarios in files"),
    "new": _author("new", "write a commented scenario file to start from", ()),
    "import": _author("importing", "make scenarios of recorded calls", ("profile",)),
    "schema": _author("describe", "print the JSON Schema of scenario files, for editors", ()),
    "health": Command(health, "ask a running server whether it is well", ("host", "port")),
    "journal": Command(
        journal, "print the exchanges of a running server", ("host", "port", "control_token"), _journal_options
    ),
}


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line; of one chosen command only that one is complete."""
    top = argparse.ArgumentParser(
        prog="mock-server",
        description="A local emulator of the Messages API. Without a command it serves.",
        epilog="Every flag of serve has an environment variable: --port is MOCK_SERVER_PORT.",
    )
    top.add_argument("--version", action="version", version=f"mock-server {VERSION}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.help, description=(command.run.__doc__ or "").strip())
        if chosen not in (None, name):
            continue
        command.options(one)
        for row in configuration.rows():
            if row.name in command.settings:
                _add(one, row)
    return top


def _add(to: argparse.ArgumentParser, row: Row) -> None:
    option = row.option
    if row.name == "paths":
        to.add_argument("paths", nargs="*", metavar=option.metavar, help=option.help)
        return
    default = "" if row.default in (None, ()) else f" (default {configuration.spelled(row.default)})"
    common: dict[str, Any] = {"dest": row.name, "default": None, "help": f"{option.help}{default}"}
    if isinstance(row.default, bool):
        to.add_argument(row.flag, action=argparse.BooleanOptionalAction, **common)
    elif option.repeatable:
        to.add_argument(row.flag, action="append", metavar=option.metavar, **common)
    else:
        metavar = option.metavar or "|".join(option.choices)
        to.add_argument(row.flag, metavar=metavar, **common)


def _settings(given: argparse.Namespace) -> Settings:
    """Flags over environment over defaults."""
    values = configuration.from_environment()
    for row in configuration.rows():
        said = getattr(given, row.name, None)
        if said in (None, []):
            continue
        if isinstance(said, list):
            listed = said if row.name == "paths" else [configuration.parse(row, one, row.flag) for one in said]
            values[row.name] = tuple(listed if row.name == "paths" else itertools.chain.from_iterable(listed))
        else:
            values[row.name] = said if isinstance(said, bool) else configuration.parse(row, said, row.flag)
    return Settings(**values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0] not in COMMANDS and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "serve")
    if isinstance(sys.stdout, io.TextIOWrapper):  # the name of a file need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    given = parser(words[0]).parse_args(words)
    try:
        return COMMANDS[given.command].run(given)
    except ScenarioError as error:
        print(error, file=sys.stderr)
    except (Mistake, SettingError) as error:
        print(f"mock-server: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 2
