"""The command line as a user meets it: real processes, their output and their exit codes."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mock_server.cli import main

COMMAND = [sys.executable, "-m", "mock_server"]
HELLO = "name: hello\nwhen: named\nreply: Hello!\n"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command to its end."""

    def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return command


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a server; what is still running when the test ends is killed."""
    started: list[subprocess.Popen[str]] = []

    def command(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", *words],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield command
    for process in started:
        process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip().removeprefix("mock-server listening on ")


def get(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        reply = opener.open(url, timeout=10)
    except urllib.error.HTTPError as degraded:
        reply = degraded
    with reply:
        value: dict[str, Any] = json.load(reply)
        assert reply.status == (200 if value["status"] == "ok" else 503)
        return value


def test_health_tells_status_version_scenarios_and_uptime(serve, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(HELLO)
    health = get(url_of(serve("hello.yaml")) + "/_mock/health")
    assert health["status"] == "ok"
    assert health["scenarios"] == 1
    assert health["uptime_seconds"] >= 0
    assert set(health) == {"status", "version", "profile", "scenarios", "uptime_seconds"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_exit_code_0_open_streams_included(serve, tmp_path: Path, number: int) -> None:
    (tmp_path / "slow.yaml").write_text("name: slow\ntiming: {gap: 1m}\nreply: one two three\n")
    process = serve("slow.yaml")
    host, _, port = url_of(process).removeprefix("http://").rpartition(":")
    body = b'{"model":"claude-opus-4-8","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}'
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(
            b"POST /v1/messages HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        received = b""
        while b"content_block_delta" not in received:
            received += client.recv(65536)
        process.send_signal(number)
        while client.recv(65536):
            pass
    _, errors = process.communicate(timeout=2)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_port_in_use_is_one_line_and_exit_code_2(run, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(HELLO)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--port", str(port), "hello.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        f"mock-server: cannot listen on 127.0.0.1:{port}: the port is in use; --port 0 (MOCK_SERVER_PORT=0) picks a free one"
    )


@pytest.mark.parametrize("host", ["no.such.host.invalid", "127..0.0.1"])
def test_an_address_that_is_not_ours_is_one_line_and_exit_code_2(run, tmp_path: Path, host: str) -> None:
    (tmp_path / "hello.yaml").write_text(HELLO)
    done = run("--host", host, "--port", "0", "hello.yaml")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"mock-server: cannot listen on {host}:0: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_bad_path_is_one_line_and_exit_code_2(run, command: str) -> None:
    done = run(command, "nowhere.yaml")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "nowhere.yaml: no such file or folder"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_bad_scenarios_are_all_reported_with_their_places_and_exit_code_2(run, tmp_path: Path, command: str) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nrepyl: hi\n")
    (tmp_path / "b.yaml").write_text("name: b\nreply: hi\ntiming: fats\n")
    done = run(command, ".")
    lines = [line for line in done.stderr.splitlines() if ".yaml:" in line]
    assert done.returncode == 2
    assert [line.split(": ")[0] for line in lines] == ["a.yaml:2:1", "b.yaml:3:9"]
    assert "unknown key 'repyl' in scenario" in lines[0]
    assert "; did you mean 'reply'? Expected one of " in lines[0]
    assert "; did you mean 'fast'? Expected one of " in lines[1]
    assert "Traceback" not in done.stderr


def test_in_a_folder_of_many_files_the_one_that_was_meant_is_told_and_few_are_compared(
    tmp_path: Path, compared: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    for at in range(900):
        (tmp_path / f"question-{at}.yaml").touch()

    assert main(["check", f"{tmp_path}/questoin-777.yaml"]) == 2

    told = f"{tmp_path}/questoin-777.yaml: no such file or folder; did you mean '{tmp_path}/question-777.yaml'?"
    assert capsys.readouterr().err.splitlines()[-1] == told
    assert compared == [5_000 // len("questoin-777.yaml")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sevre"], "mock-server: no command, file or folder is named 'sevre'; did you mean 'serve'?"),
        (
            ["chek", "--format", "json"],
            "mock-server: no command, file or folder is named 'chek'; did you mean 'check'?",
        ),
        (["--profle", "anthropic"], "mock-server: serve has no flag '--profle'; did you mean '--profile'?"),
        (["check", "--fromat=json"], "mock-server: check has no flag '--fromat'; did you mean '--format'?"),
        (["schema", "--zzz"], "mock-server: schema has no flag '--zzz'; it has --help"),
        (["schema", "more"], "mock-server: schema has no argument 'more'"),
        (["serve", "helo"], "helo: no such file or folder; did you mean 'hello'?"),
        (["helo"], "helo: no such file or folder; did you mean 'hello'?"),
        (["preview", "helo"], "mock-server: no scenario 'helo'; did you mean 'hello'?"),
        (["check", "scenaros"], "scenaros: no such file or folder; did you mean 'scenarios'?"),
        (["check", "mine.yml"], "mine.yml: no such file or folder; did you mean 'mine.yaml'?"),
        (["check", "scenarios/hi.yml"], "scenarios/hi.yml: no such file or folder; did you mean 'scenarios/hi.yaml'?"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_word_that_is_mistyped_is_told_what_it_may_be(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    for name in ("mine.yaml", "scenarios/hi.yaml"):
        (tmp_path / name).write_text(HELLO)
    assert main(words) == 2
    assert capsys.readouterr().err.splitlines()[-1] == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new"], "mock-server new: the following arguments are required: NAME"),
        (["serve", "--control-token"], "mock-server serve: argument --control-token: expected one argument"),
        (["explain"], "mock-server explain: the following arguments are required: REQUEST, PATH"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_word_that_is_missing_is_told_in_a_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"{said}; mock-server {words[0]} --help tells more\n"


@pytest.mark.parametrize(("word", "said"), [("help", "usage: mock-server"), ("version", "mock-server 0.")])
def test_a_flag_of_its_own_goes_as_a_word(word: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([word])
    assert (caught.value.code, capsys.readouterr().out[: len(said)]) == (0, said)


def test_a_misspelt_variable_is_told(run) -> None:
    done = run("list", "--tag", "none", MOCK_SERVER_TIMESCALE="0", MOCK_SERVER_PORT_8787_TCP="tcp://10.0.0.1:8787")
    told = "MOCK_SERVER_TIMESCALE is ignored: no setting has this variable; did you mean MOCK_SERVER_TIME_SCALE?"
    assert (done.returncode, done.stderr) == (0, f"mock-server: {told}\n")


def test_notes_fail_only_with_strict(run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nreply: Hi {{ prompt }}")
    assert run("check", ".").returncode == 0
    assert run("check", ".").stdout == "1 scenario, no mistakes, 1 note\n"
    assert run("check", ".", "--strict").returncode == 2


def test_check_of_good_scenarios_says_how_many(run, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(HELLO)
    done = run("check", ".")
    assert (done.returncode, done.stdout) == (0, "1 scenario, no mistakes\n")


def test_check_without_a_path_checks_the_library(run) -> None:
    done = run("check")
    assert done.returncode == 0, done.stderr


def test_tls_that_cannot_be_is_one_line_and_exit_code_2(run, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(HELLO)
    done = run("--port", "0", "--tls-cert", "gone.pem", "hello.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        "mock-server: --tls-cert: gone.pem: cannot be read: No such file or directory"
    )


@pytest.mark.parametrize("words", [["--port", "x"], ["--rate-limits", "few"]])
def test_a_wrong_flag_is_one_line_and_exit_code_2(run, words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"mock-server: {words[0]}: '{words[1]}' is not a valid value")
    assert done.stderr.count("\n") == 1


def test_a_wrong_variable_is_one_line_and_exit_code_2(run) -> None:
    done = run("serve", MOCK_SERVER_PORT="x")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("mock-server: MOCK_SERVER_PORT: 'x' is not a valid value")


def test_health_of_a_running_server_is_exit_code_0_and_of_none_is_1(run, serve, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(HELLO)
    port = url_of(serve("hello.yaml")).rpartition(":")[2]
    done = run("health", "--port", port)
    said = rf"ok: mock-server \S+ on http://127.0.0.1:{port}, profile octen, 1 scenario, up for \d+ s\n"
    assert done.returncode == 0
    assert re.fullmatch(said, done.stdout)
    assert json.loads(run("health", "--port", port, "--json").stdout)["status"] == "ok"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        unused = str(free.getsockname()[1])
    done = run("health", "--port", unused)
    assert (done.returncode, done.stdout) == (1, "")


def test_the_module_and_its_version(run) -> None:
    assert run("--version").stdout.startswith("mock-server ")


def test_starting_imports_neither_faker_nor_jsonschema() -> None:
    code = (
        "import sys, mock_server.server.runner as r; from mock_server.settings import Settings;"
        "from mock_server.scenario.load import library; r.Runner(Settings(), [library()]);"
        "print([m for m in ('faker', 'jsonschema', 'anthropic', 'importlib.metadata') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_health_imports_nothing_that_it_does_not_need() -> None:
    """It runs every few seconds in every container, and while the server beside it starts."""
    code = (
        "import sys; from mock_server.cli import main; code = main(['health', '--port', '1', '--host', '127.0.0.1']);"
        "print(code, [m for m in ('yaml', 'asyncio', 'aiohttp', 'mock_server.scenario.load') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 []"


# -- reload: real files, a real process; the waits end as soon as the change is seen ----------------------------------


def wait_for(url: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Health, once `holds` is true of it; 10 seconds at most."""
    end = time.monotonic() + 10
    while not holds(health := get(url + "/_mock/health")):
        assert time.monotonic() < end, health
    return health


def test_reload_sees_changed_added_removed_and_broken_files(serve, run, tmp_path: Path) -> None:
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / "a.yaml").write_text(HELLO)
    url = url_of(serve("--reload", "scenarios"))
    assert get(url + "/_mock/health")["scenarios"] == 1

    (folder / "sub").mkdir()
    (folder / "sub" / "b.yaml").write_text("name: b\nwhen: named\nreply: B\n")
    wait_for(url, lambda health: health["scenarios"] == 2)

    (folder / "a.yaml").write_text("name: hello\nrepyl: broken\n")
    broken = wait_for(url, lambda health: health["status"] == "degraded")
    unwell = run("health", "--port", url.rpartition(":")[2])
    assert unwell.returncode == 1
    assert unwell.stdout.startswith("degraded: mock-server ")
    assert "the last edit does not load, what was served before still is:\n  " in unwell.stdout
    assert "a.yaml:2:1: unknown key 'repyl'" in unwell.stdout
    assert broken["scenarios"] == 2
    assert any("a.yaml:2:1: unknown key 'repyl'" in line for line in broken["load_error"])

    (folder / "a.yaml").write_text("name: hello\nwhen: named\nreply: mended\n")
    assert "load_error" not in wait_for(url, lambda health: health["status"] == "ok")

    (folder / "sub" / "b.yaml").unlink()
    wait_for(url, lambda health: health["scenarios"] == 1)


def test_the_library_stands_in_for_a_folder_while_it_is_empty(serve, tmp_path: Path) -> None:
    folder = tmp_path / "scenarios"
    (folder / ".hidden").mkdir(parents=True)
    (folder / ".hidden" / "a.yaml").write_text(HELLO)
    process = serve("--reload", "--library-if-empty", "scenarios")
    url = url_of(process)
    lines = [process.stdout.readline() for _ in range(8)]
    assert lines[0].endswith("scenarios from the built-in library\n")
    assert lines[7].startswith("  scenarios is empty: the built-in library is served; serve your own: docker run -v")
    library = get(url + "/_mock/health")["scenarios"]
    assert library > 50

    (folder / "a.yaml").write_text(HELLO)
    wait_for(url, lambda health: health["scenarios"] == 1)
    (folder / "a.yaml").write_text("name: hello\nrepyl: broken\n")
    wait_for(url, lambda health: health["status"] == "degraded")
    (folder / "a.yaml").unlink()
    wait_for(url, lambda health: (health["status"], health["scenarios"]) == ("ok", library))


@pytest.mark.parametrize("words", [["serve"], ["serve", "--library-if-empty"], ["check"]])
def test_a_folder_that_may_not_be_looked_into_is_one_line_and_exit_code_2(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refused(path: str | Path) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert main([*words, str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"{tmp_path / 'closed'}: cannot be read: Permission denied"


def test_an_empty_folder_without_the_library_is_a_mistake(run, tmp_path: Path) -> None:
    done = run("serve", ".")
    assert (done.returncode, done.stderr) == (2, ".: no scenario files (*.yaml, *.yml) in this folder\n")
    done = run("serve", "nowhere", "--library-if-empty")
    assert (done.returncode, done.stderr) == (2, "nowhere: no such file or folder\n")


# -- the docs ---------------------------------------------------------------------------------------------------------

PAGES = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))


def test_docs_lists_the_pages_and_prints_one(run) -> None:
    listed = run("docs").stdout
    for page in PAGES:
        heading = page.read_text().splitlines()[0].removeprefix("# ")
        assert re.search(rf"(?m)^{page.stem} +{re.escape(heading)}$", listed)
    for name in ("scenarios", "docs/scenarios.md", "scenarios.md#timing"):
        assert run("docs", name).stdout == (PAGES[0].parent / "scenarios.md").read_text()


def test_docs_of_a_page_that_is_not_there_is_one_line(run) -> None:
    done = run("docs", "scenario")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(
        "mock-server: no page 'scenario'; did you mean 'scenarios'? Expected one of cli, contributing, "
    )


def test_what_messages_point_to_is_there_for_who_has_only_the_package() -> None:
    package = Path(__file__).parent.parent / "mock_server"
    texts = [file.read_text() for file in package.rglob("*.py")]
    pointed = {name for text in texts for name in re.findall(r"mock-server docs ([a-z-]+)", text)}
    assert "scenarios" in pointed
    assert pointed <= {page.stem for page in PAGES}


def test_without_reload_files_are_read_once(serve, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(HELLO)
    process = serve("a.yaml", "--no-reload")
    url = url_of(process)
    (tmp_path / "a.yaml").write_text("broken")
    assert get(url + "/_mock/health")["status"] == "ok"


def test_journal_prints_the_exchanges_of_a_running_server(serve, run, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(HELLO)
    url = url_of(serve("hello.yaml"))
    port = url.rpartition(":")[2]
    body = {
        "model": "claude-opus-4-8",
        "max_tokens": 9,
        "temprature": 1,
        "messages": [{"role": "user", "content": "[[scenario:hello]]"}],
    }
    request = urllib.request.Request(url + "/v1/messages", json.dumps(body).encode(), {"x-api-key": "k"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as reply:
        id = reply.headers["request-id"]

    assert "hello turn 1" in run("journal", "--port", port, "--text", id).stdout
    assert run("journal", "--port", port, "--text", "req_none").stdout == ""
    assert "leave --follow out" in run("journal", "--port", port, "--text", id, "--follow").stderr
    done = run("journal", "--port", port)
    assert done.returncode == 0
    told = "parameter 'temprature' is ignored (did you mean 'temperature'?)"
    assert f"default POST /v1/messages '[[scenario:hello]]' -> 200 hello turn 1; {told}, completed" in done.stdout
    assert run("journal", "--port", port, "--session", "nobody").returncode == 2
    assert "no session 'nobody'" in run("journal", "--port", port, "--session", "nobody").stderr
    assert run("journal", "--port", "9").returncode == 2


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")
@pytest.mark.parametrize("format", ["text", "json", "github"])
def test_a_file_whose_name_is_no_text_is_checked_as_any_other(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, format: str
) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml")).write_text("nam: a")
    done = run("check", "--format", format, ".", PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert "\\udcff.yaml" in said
    assert "unknown key 'nam' in scenario" in said


# -- what the server prints when it listens: the line to try works as it stands there --------------------------------

FAILS = "name: aaa\nerror: overloaded_error\n---\nname: bbb\nreply: Hi\nexpect: {stream: false}\n"
ODD = "name: it's mine\nreply: Hi\n---\nname: caf\u00e9\nreply: Hi\n---\nname: plain one\nwhen: {prompt: never said}\nreply: Hi\n"
# what is served, how, and the scenario that the line names
TRIED: dict[str, tuple[str, list[str], str]] = {
    "the library": ("", [], "hello"),
    "a folder with hello": (HELLO + "---\nname: other\nreply: Hi\n", [], "hello"),
    "a folder without": ("name: weather\nwhen: {prompt: sunny}\nreply: Hi\n", [], "weather"),
    "names that a shell or a header may not bear": (ODD, [], "plain one"),
    "first ones that fail": (FAILS + "---\nname: ccc\nreply: Hi\n", [], "ccc"),
    "none that replies": (FAILS, [], "aaa"),
    "none that can be named": ("name: caf\u00e9\nwhen: {prompt: never said}\nreply: Hi\n", [], ""),
    "keys": (HELLO, ["--api-key", "sk-ant-*,other"], "hello"),
    "a base path": (HELLO, ["--base-path", "/llm"], "hello"),
    "every address": (HELLO, ["--host", "0.0.0.0"], "hello"),
    "every address of IPv6": (HELLO, ["--host", "::"], "hello"),
    "TLS": (HELLO, ["--tls", "self-signed"], "hello"),
}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("profile", ["octen", "anthropic"])
@pytest.mark.parametrize("case", TRIED)
def test_the_line_to_try_works_as_it_is_printed(serve, tmp_path: Path, case: str, profile: str) -> None:
    served, words, named = TRIED[case]
    if "::" in words and not has_ipv6():
        pytest.skip("no IPv6 here")
    (tmp_path / "mine.yaml").write_text(served)
    process = serve(*words, "--profile", profile, *(["mine.yaml"] if served else ()))
    url_of(process)
    lines = [process.stdout.readline() for _ in range(6)]
    assert lines[1].startswith(f"profile {profile}: unknown parameters are ")
    assert lines[2] == "what matches no scenario gets a generated reply (--unmatched error: a 400 that says why)\n"
    assert lines[3] == "try it:\n"
    done = subprocess.run(["sh", "-c", lines[4]], capture_output=True, text=True, timeout=30, check=True)
    assert ("event: message_stop" if served != FAILS else '"type":"overloaded_error"') in done.stdout, done.stdout
    assert (f"x-mock-scenario: {named}'" in lines[4]) if named else ("x-mock-scenario" not in lines[4])


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as asked:
            asked.bind(("::1", 0))
    except OSError:
        return False
    return True
