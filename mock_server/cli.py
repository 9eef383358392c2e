"""The command line: `mock-server [serve]`, `check`, `preview`, … A command is one function and its row in `COMMANDS`;
those for authors of scenarios are in `commands/`. What only some need is imported there: `health` runs
again and again beside a server, and must cost next to nothing.

Exit codes: 0 done, 1 the answer is no, 2 a mistake of the caller, explained in clear lines on stderr.
"""

import argparse
import contextlib
import fnmatch
import gc
import importlib
import io
import itertools
import json
import logging
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mock_server import settings as configuration
from mock_server import whereabouts
from mock_server.commands import Mistake
from mock_server.records import dataclass
from mock_server.scenario.node import ScenarioError, several, suggestion
from mock_server.settings import Row, SettingError, Settings, Unusable
from mock_server.version import VERSION
from mock_server.whereabouts import Whereabouts

if TYPE_CHECKING:
    import ssl

    from mock_server.scenario.model import Scenario
    from mock_server.server.runner import Runner

log = logging.getLogger("mock_server")
WANTED_FILES = 65_536
BUILT_IN = "the built-in library"
ALONE = "nothing outside this container reaches it; start it with --host 0.0.0.0 (MOCK_SERVER_HOST)"


# -- serve ----------------------------------------------------------------------------------------------------------


def serve(args: argparse.Namespace) -> int:
    """Run the server until SIGTERM or Ctrl-C."""
    settings = _settings(args)
    _log(settings.log_level)
    linked = configuration.service_link()
    if linked is not None:
        what = "an address that Kubernetes sets for a service named mock-server, not a port (enableServiceLinks: false)"
        log.warning("%s=%s is ignored: it is %s", linked, os.environ[linked], what)
    for text in _misspelt():
        log.warning("%s", text)
    _raise_file_limit()
    from mock_server.scenario.load import library

    paths: Sequence[Any] = settings.paths or (library(),)
    return _run(_serve(settings, paths))


def _misspelt() -> list[str]:
    """What to say of variables that look like ours and are none."""
    found = configuration.misspelt()
    return [f"{name} is ignored: no setting has this variable; did you mean {near}?" for name, near in found]


def _run(main: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop where the extra `fast` is installed: it is the faster loop."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    code: int = uvloop.run(main)
    return code


async def _serve(settings: Settings, paths: Sequence[Any]) -> int:
    import asyncio

    from mock_server.server import garbage, lean

    with lean.importing():
        from mock_server.server.runner import Runner  # aiohttp: not for the other commands

    runner = Runner(settings, paths)
    stopped, hurried = asyncio.Event(), asyncio.Event()
    _on_signals(lambda: hurried.set() if stopped.is_set() else stopped.set())
    try:
        await runner.start()
    except Unusable as error:
        raise Mistake(str(error)) from None
    except (OSError, OverflowError) as error:
        raise Mistake(f"cannot listen on {settings.host}:{settings.port}: {_why(error)}") from None
    garbage.settle()
    collecting = asyncio.create_task(garbage.Collector(runner.came, runner.under_way).run(), name="mock-server garbage")
    alone = whereabouts.is_alone(runner.host)
    whereabouts.announce(Whereabouts(runner.url, runner.host, runner.port, runner.token, alone))
    print("\n".join([*_banner(runner, paths), *_notes(runner, paths)]), flush=True)
    if alone:
        log.error("%s: %s", runner.url, ALONE)
    elif whereabouts.in_container() and not whereabouts.has_network():
        log.error("this container has no network: only what runs in it reaches the server")
    await stopped.wait()
    await runner.drain(hurried)
    collecting.cancel()
    await runner.stop()
    return 0


def _why(error: OSError | OverflowError) -> str:
    if "address already in use" in str(error).lower():
        return "the port is in use; --port 0 (MOCK_SERVER_PORT=0) picks a free one"
    return getattr(error, "strerror", None) or str(error)


def _on_signals(call: Callable[[], None]) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, call)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))


def _banner(runner: "Runner", paths: Sequence[Any]) -> list[str]:
    """The first line is for machines, the rest for people."""
    from mock_server.scenario.load import library

    url, ca, key = runner.url, runner.ca, _key(runner.settings.api_key)
    over = f", with the chaos of {', '.join(runner.settings.chaos)}" if runner.settings.chaos else ""
    instead = runner.stands_in
    sources = dict.fromkeys(BUILT_IN if one == library() or str(one) in instead else str(one) for one in paths)
    trusting = "" if ca is None else f"SSL_CERT_FILE={ca} NODE_EXTRA_CA_CERTS={ca} "
    return [
        f"mock-server listening on {url}",
        f"{several(runner.engine.scenarios, 'scenario')} from {', '.join(sources)}" + over,
        f"profile {_profile_of(runner)}",
        f"what matches no scenario gets {_UNMATCHED[runner.settings.unmatched]}",
        "try it:",
        f"  {_curl(runner, key)}",
        f"  export {trusting}ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY={shlex.quote(key)}"
        "     # then run your SDK, agent or CLI",
        f"  the page, with every request as it comes: {url}/",
    ]


_UNMATCHED = {
    "generate": "a generated reply (--unmatched error: a 400 that says why)",
    "error": "a 400 that says why (--unmatched generate: a generated reply)",
}


def _profile_of(runner: "Runner") -> str:
    """Which API is emulated, and how it takes what it does not know."""
    profile = runner.engine.profile
    if profile.is_strict:
        return f"{profile.name}: unknown parameters are refused"
    other = " (--profile anthropic refuses them)" if profile.name == "octen" else ""
    return f"{profile.name}: unknown parameters are ignored, with a warning{other}"


def _curl(runner: "Runner", key: str) -> str:
    """A request for a shell that this very server answers, with a scenario that is there."""
    profile, name = runner.engine.profile, _example(runner.engine.served)
    model = "claude-opus-4-8"
    if profile.model(model) is None and profile.models:
        model = profile.models[0].id
    trusted = [] if runner.ca is None else ["--cacert", str(runner.ca)]
    if runner.settings.tls_cert is not None:  # made out to another name, by an authority that only its user knows
        trusted = ["--insecure"]
    proxied = ["--noproxy", "*"] if any(os.environ.get(one) for one in _PROXIES) else []
    headers = [f"x-api-key: {key}"]
    if profile.version_required:
        headers.append(f"anthropic-version: {profile.default_version}")
    if name is not None:
        headers.append(f"x-mock-scenario: {name}")
    message = {"role": "user", "content": "Hi"}
    body = json.dumps({"model": model, "max_tokens": 99, "stream": True, "messages": [message]}, separators=(",", ":"))
    more = [word for header in headers for word in ("-H", header)]
    return shlex.join(["curl", "-N", *trusted, *proxied, f"{runner.url}/v1/messages", *more, "-d", body])


_PROXIES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*")


def _example(served: Sequence["Scenario"]) -> str | None:
    """The scenario to try: `hello`, else the first whose first turn is a plain reply, else the first; None: no such."""
    named = [one for one in served if not one.is_overlay and _PLAIN.fullmatch(one.name)]
    fit = [one.name for one in named if _is_plain(one)] or [one.name for one in named]
    return "hello" if "hello" in fit else next(iter(fit), None)


def _is_plain(scenario: "Scenario") -> bool:
    """Whether a question by its name gets a reply, as it stands there and whole."""
    first = scenario.turns[0] if scenario.turns else None
    if first is None or first.reply is None or scenario.is_side_call or first.is_open:
        return False
    return not (first.faults or first.expect or scenario.rate_limits)


def _key(globs: Sequence[str]) -> str:
    """A key that the server accepts."""
    for glob in globs:
        made = re.sub(r"\[!?([^\]])[^\]]*\]", r"\1", glob).replace("*", "any").replace("?", "x")
        if fnmatch.fnmatchcase(made, glob):
            return made
    return globs[0] if globs else "any"


def _notes(runner: "Runner", paths: Sequence[Any]) -> Iterator[str]:
    """What is not as one might think: folders, files and addresses."""
    from mock_server.scenario.load import files

    for folder in runner.stands_in:
        mounted = os.path.ismount(folder)
        how = f"the mount {folder} holds no scenario files (*.yaml, *.yml)" if mounted else f"{folder} is empty"
        cure = "put some there" if mounted else f'serve your own: docker run -v "$PWD/scenarios:{folder}:ro"'
        yield f"  {how}: the built-in library is served; {cure}"
    with contextlib.suppress(ScenarioError):  # changed since it was loaded: the log says so
        for file in files(paths) if runner.settings.reload and not runner.stands_in else ():
            if os.path.ismount(file):
                yield f"  {file} is mounted by itself: an edit that replaces it is not seen here; mount its folder"
    if runner.ca is not None:
        yield f"  TLS: clients must trust the CA in {runner.ca}; it is made anew at every start"
    if whereabouts.is_any(runner.host):
        name = whereabouts.own_name()
        there = whereabouts.url_of(name, runner.port, runner.settings.base_path, tls=runner.url.startswith("https"))
        here = "container's network (or by its service's name; outside: the port that is published)"
        yield f"  on every address, such as {there} in this " + (here if whereabouts.in_container() else "network")
    if runner.token is not None and runner.settings.control_token is None:
        yield f"  control token (page and /_mock/): {runner.token}"


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
        log.info("open files: limit raised from %d to %d", soft, wanted)


def _log(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )


# -- asking a running server ----------------------------------------------------------------------------------------


def health(args: argparse.Namespace) -> int:
    """Ask a running server whether it is well: exit 0 if so, 1 if not.

    Without --host and --port it asks the one that runs here, wherever that listens.
    """
    import urllib.error
    import urllib.request

    where = _running(args)
    url = f"{where.url}/_mock/health"
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_trusting(where)))
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=2) as answer:
            print(_well(where.url, answer.read().decode(), as_json=args.json))
    except urllib.error.HTTPError as error:
        print(_well(where.url, error.read().decode(), as_json=args.json))
        return 1
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        why = getattr(reason, "strerror", None) or reason
        print(f"no answer from {url}: {str(why).lower()}; start a server with mock-server serve", file=sys.stderr)
        return 1
    if where.alone:
        print(f"{where.url}: {ALONE}", file=sys.stderr)
        return 1
    return 0


def _well(url: str, reply: str, *, as_json: bool) -> str:
    """How a server is, in words."""
    try:
        state = json.loads(reply)
        if as_json or not isinstance(state, dict):
            return reply
        about = f"mock-server {state['version']} on {url}, profile {state['profile']}"
        scenarios = several(state["scenarios"], "scenario")
        text = f"{state['status']}: {about}, {scenarios}, up for {state['uptime_seconds']:.0f} s"
        problems = state.get("load_error", [])
        if problems:
            text += "; the last edit does not load, what was served before still is:"
        return "\n  ".join([text, *problems])
    except (ValueError, KeyError, TypeError):  # whoever answers there is no server of ours
        return reply


def _health_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as GET /_mock/health has it")


def journal(args: argparse.Namespace) -> int:
    """Print the exchanges of a running server, oldest first; with --follow also those to come."""
    from mock_server.api.controls import Refused
    from mock_server.api.remote import Http, Unreachable

    where = _running(args)
    http = Http(where.url, where.token, _trusting(where))
    try:
        if args.follow and args.text:
            raise Mistake("--text looks among the exchanges that have come; leave --follow out")
        page = http("GET", "journal", session=args.session, limit=args.limit, text=args.text)
        lines = page["entries"][::-1] if not args.follow else http.events("journal/stream", session=args.session)
        for one in lines:
            print(_line(one), flush=True)
    except (Refused, Unreachable) as error:
        raise Mistake(str(error)) from None
    return 0


def _running(args: argparse.Namespace) -> Whereabouts:
    """The server that is meant: by the flags, else the one that runs, else by the variables.

    Raises Mistake when several run and nothing names one.
    """
    settings = _settings(args)
    url = whereabouts.url_of(settings.host, settings.port, tls=settings.tls != "off" or settings.tls_cert is not None)
    named = Whereabouts(url, settings.host, settings.port, settings.control_token)
    if args.host is not None and not whereabouts.is_loopback(args.host):
        return named
    found = whereabouts.find()
    same = [one for one in found if one.port == settings.port]
    if not same and args.port is None and len(found) > 1:
        raise Mistake(f"{len(found)} servers run here; say which with --port: {', '.join(one.url for one in found)}")
    meant = (same or ([] if args.port is not None else found) or [named])[0]
    # asked for by its address: whoever does so knows that it is a loopback
    return replace(meant, token=settings.control_token or meant.token, alone=meant.alone and args.host is None)


def _trusting(where: Whereabouts) -> "ssl.SSLContext | None":
    """Any certificate of a server on this machine: it may be made out to the name that its clients use."""
    here = whereabouts.is_loopback(where.host) or whereabouts.is_any(where.host) or where.found
    if not (here and where.url.startswith("https")):
        return None
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _line(entry: Mapping[str, Any]) -> str:
    """One exchange: number, time, session, the prompt, what it got."""
    at = time.strftime("%H:%M:%S", time.localtime(entry["at"]))
    prompt = " ".join(entry["prompt"].split())[:60]
    by = f"{entry['scenario']} turn {entry['turn']}" if entry["scenario"] else entry["note"].split("\n")[0]
    by += " (side call)" if entry["side"] else ""
    by += "".join(f"; {one}" for one in entry["warnings"] if entry["scenario"] or one not in entry["note"])
    took = "" if entry["duration_ms"] is None else f" in {entry['duration_ms']:.0f} ms"
    request = f"{entry['number']:>6} {at} {entry['session']} {entry['method']} {entry['path']} {prompt!r}"
    return f"{request} -> {entry['status']} {by}, {entry['outcome']}{took}"


def _journal_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what comes")
    parser.add_argument("--session", metavar="NAME", help="only this session")
    parser.add_argument(
        "--text", metavar="TEXT", help="only those with this text in request or reply, or this request id"
    )
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
_WHERE = ("host", "port", "tls", "tls_cert")
_AUTHOR = ("profile", "catalogue", "any_model", "timing", "time_scale", "seed", "unknown_parameters")


def _author(module: str, name: str, help: str, settings: tuple[str, ...] = ("paths",)) -> Command:
    """A command of `commands/`: `run_NAME` of its module, and `NAME_options` where it has flags of its own. Imported
    only when it is meant: `health` has to be quick.
    """

    def run(args: argparse.Namespace) -> int:
        code: int = getattr(_module(module), f"run_{name}")(args, _with_library(_settings(args)))
        return code

    def options(parser: argparse.ArgumentParser) -> None:
        found = _module(module)
        parser.description = getattr(found, f"run_{name}").__doc__
        getattr(found, f"{name}_options", lambda parser: None)(parser)

    return Command(run, help, settings, options)


def _with_library(settings: Settings) -> Settings:
    """The settings with the library in the place of empty folders, where that is wanted."""
    wanted = settings.library_if_empty
    return replace(settings, paths=tuple(_or_library(path) if wanted else path for path in settings.paths))


def _or_library(path: str) -> str:
    from mock_server.scenario.load import is_empty, library

    return str(library()) if is_empty(Path(path)) else path


def _module(name: str) -> Any:
    return importlib.import_module(f"mock_server.commands.{name}")


COMMANDS: Mapping[str, Command] = {
    "serve": Command(serve, "run the server (the default command)", _ALL),
    "check": _author("check", "check", "report the mistakes in scenario files", ("paths", *_AUTHOR)),
    "preview": _author("preview", "preview", "show what a scenario sends, and when", ("paths", *_AUTHOR)),
    "explain": _author("preview", "explain", "tell which scenario answers a request, and why", ("paths", *_AUTHOR)),
    "faults": _author("preview", "faults", "list a scenario with every fault at every event"),
    "list": _author("reference", "list", "list the scenarios in files"),
    "new": _author("reference", "new", "write a commented scenario file to start from", ()),
    "import": _author("importing", "import", "make scenarios of recorded calls", ("profile",)),
    "schema": _author("reference", "schema", "print the JSON Schema of scenario files, for editors", ()),
    "docs": _author("reference", "docs", "print a page of the documentation", ()),
    "health": Command(health, "ask a running server whether it is well", _WHERE, _health_options),
    "journal": Command(
        journal, "print the exchanges of a running server", (*_WHERE, "control_token"), _journal_options
    ),
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in a line, not behind all that there is."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help tells more\n")


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line; of one chosen command only that one is complete."""
    top = _Parser(
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


def _settings(args: argparse.Namespace) -> Settings:
    """Flags over environment over defaults."""
    values = configuration.from_environment()
    for row in configuration.rows():
        value = getattr(args, row.name, None)
        if value in (None, []):
            continue
        if row.name == "paths":
            value = tuple(value)
        elif isinstance(value, list):
            value = tuple(itertools.chain.from_iterable(configuration.parse(row, one, row.flag) for one in value))
        elif not isinstance(value, bool):
            value = configuration.parse(row, value, row.flag)
        values[row.name] = value
    return Settings(**values)


def _mistyped(word: str) -> str:
    """The command that a first word looks like which names nothing that could be served; else nothing."""
    if word.startswith("-") or Path(word).suffix or os.path.lexists(word):
        return ""
    close = suggestion(word, COMMANDS)
    if not close:
        return ""
    from mock_server.scenario.load import near

    return close if suggestion(word, [*COMMANDS, *near(Path(word))]) == close else ""


def _no_such(word: str, command: Command) -> str:
    """An argument that a command does not take, with the flag that may be meant."""
    if not word.startswith("-"):
        return f"argument '{word}'"
    own = argparse.ArgumentParser()
    command.options(own)
    flags = {row.flag for row in configuration.rows() if row.name in command.settings and row.name != "paths"}
    known = sorted({"--help", *flags, *re.findall(r"--[a-z-]+", own.format_usage())})
    flag = word.partition("=")[0]
    listed = ", ".join(known[:10])
    return f"flag '{flag}'{suggestion(flag, known) or f'; it has {listed}'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in ("help", "version") and not os.path.lexists(words[0]):
        words[0] = f"--{words[0]}"
    if not words or (words[0] not in COMMANDS and words[0] not in ("-h", "--help", "--version")):
        meant = _mistyped(words[0]) if words else ""
        if meant:
            print(f"mock-server: no command, file or folder is named '{words[0]}'{meant}", file=sys.stderr)
            return 2
        words.insert(0, "serve")
    if isinstance(sys.stdout, io.TextIOWrapper):  # the name of a file need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    args, unknown = parser(words[0]).parse_known_args(words)
    command = COMMANDS[args.command]
    if unknown:
        print(f"mock-server: {args.command} has no {_no_such(unknown[0], command)}", file=sys.stderr)
        return 2
    if command.run is not serve:  # which does both when it listens
        gc.enable()
        for text in _misspelt():
            print(f"mock-server: {text}", file=sys.stderr)
    try:
        return command.run(args)
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
