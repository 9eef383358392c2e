"""Where servers are found: addresses that can be asked, containers, and a command that looks for the one that runs."""

import os
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from mock_server import cli, whereabouts
from mock_server.commands import Mistake
from mock_server.version import VERSION
from mock_server.whereabouts import Whereabouts, is_alone, url_of

ONE = Whereabouts("http://127.0.0.1:9000", "0.0.0.0", 9000, "t0ken")
TWO = Whereabouts("https://127.0.0.1:9443", "127.0.0.1", 9443, None, alone=True)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("[::]", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
        ("192.0.2.7", "http://192.0.2.7:1"),
        ("localhost", "http://localhost:1"),
    ],
)
def test_a_url_can_be_asked_whatever_the_server_is_bound_to(host: str, url: str) -> None:
    assert url_of(host, 1) == url
    assert url_of(host, 1, "/llm", tls=True) == url.replace("http:", "https:") + "/llm"


# -- containers -----------------------------------------------------------------------------------------------------


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc of our own."""
    (tmp_path / "1").mkdir()
    (tmp_path / "net").mkdir()
    monkeypatch.setattr(whereabouts, "PROCESSES", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("own", "parent", "first", "marked", "inside"),
    [
        (1, 0, "mock-server", False, True),  # what the container was started for
        (7, 1, "docker-init", True, True),  # docker run --init
        (7, 1, "tini", True, True),
        (7, 1, "sh", True, True),  # sh -c 'prepare; mock-server'
        (7, 6, "sleep", True, False),  # typed into a shell of a container for development
        (7, 1, "systemd", False, False),  # a service of a machine
        (7, 1, "tini", False, False),
    ],
)
def test_what_counts_as_the_process_of_a_container(
    monkeypatch: pytest.MonkeyPatch, processes: Path, own: int, parent: int, first: str, marked: bool, inside: bool
) -> None:
    (processes / "1" / "comm").write_text(first + "\n")
    monkeypatch.setattr(os, "getpid", lambda: own)
    monkeypatch.setattr(os, "getppid", lambda: parent)
    monkeypatch.setattr(os.path, "exists", lambda path: marked)
    assert whereabouts.in_container() is inside
    assert is_alone("127.0.0.1", {}) is inside
    assert not is_alone("0.0.0.0", {})
    assert not is_alone("127.0.0.1", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})  # its pod shares the loopback


ROUTE = "Iface\tDestination\tGateway\tFlags\n"
LOOP = "00000000000000000000000000000001 80 00000000000000000000000000000000 00 00 lo\n"


@pytest.mark.parametrize(
    ("route", "ipv6_route", "there"),
    [
        (ROUTE, LOOP, False),  # docker run --network none
        (ROUTE + "eth0\t000011AC\t00000000\t0001\n", LOOP, True),
        (ROUTE, LOOP + LOOP.replace(" lo", " eth0"), True),
        (None, None, True),  # nothing is known
    ],
)
def test_whether_there_is_a_network(processes: Path, route: str | None, ipv6_route: str | None, there: bool) -> None:
    for name, text in (("route", route), ("ipv6_route", ipv6_route)):
        if text is not None:
            (processes / "net" / name).write_text(text)
    assert whereabouts.has_network() is there


# -- telling and finding ---------------------------------------------------------------------------------------------

TELL = """
import sys
from mock_server import whereabouts
whereabouts.announce(whereabouts.Whereabouts("http://127.0.0.1:1", "127.0.0.1", 1, "secret"))
print("told", flush=True)
sys.stdin.read()
"""

needs_memory_files = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no memory files")


@needs_memory_files
def test_a_server_is_found_as_long_as_it_lives_and_not_by_its_children(tmp_path: Path) -> None:
    told = Whereabouts("http://127.0.0.1:1", "127.0.0.1", 1, "secret", found=True)
    with subprocess.Popen([sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"told\n"
        assert told in whereabouts.find()
        process.kill()
        process.wait()
        assert told not in whereabouts.find()
    assert list(tmp_path.iterdir()) == []


@needs_memory_files
@pytest.mark.parametrize("text", [b"", b"not JSON", b"[]", b'{"url": "http://127.0.0.1:1"}', b'{"unknown": 1}'])
def test_a_memory_file_of_this_name_that_says_something_else_is_passed_over(text: bytes) -> None:
    number = os.memfd_create(whereabouts.NAME)
    try:
        os.write(number, text)
        assert whereabouts._server_of(Path("/proc/self")) is None
    finally:
        os.close(number)


def test_processes_with_another_network_are_passed_over(processes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for process, network in (("self", "ours"), ("5", "ours"), ("6", "theirs"), ("notes", "ours")):
        (processes / process / "ns").mkdir(parents=True)
        (processes / network).touch()
        os.link(processes / network, processes / process / "ns" / "net")
    (processes / "7").mkdir()  # may not be looked into
    monkeypatch.setattr(whereabouts, "_server_of", lambda process: replace(ONE, url=process.name))
    assert [one.url for one in whereabouts.find()] == ["5"]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Whereabouts]:
    """The servers that are found; variables of the environment do not count."""
    for name in [name for name in os.environ if name.startswith("MOCK_SERVER_")]:
        monkeypatch.delenv(name)
    found: list[Whereabouts] = []
    monkeypatch.setattr(whereabouts, "find", lambda: found)
    return found


def running(*words: str) -> Whereabouts:
    return cli._running(cli.parser().parse_args(["health", *words]))


def test_the_one_that_runs_is_asked_whatever_its_flags_were(given: list[Whereabouts]) -> None:
    given.append(TWO)
    assert running() == TWO
    assert running("--port", "9443") == TWO
    assert running("--host", "127.0.0.1").alone is False  # who asks by the address knows what it is
    assert running("--port", "9000").url == "http://127.0.0.1:9000"


def test_of_several_the_port_decides(given: list[Whereabouts], monkeypatch: pytest.MonkeyPatch) -> None:
    given += [ONE, TWO]
    assert running("--port", "9000") == ONE
    with pytest.raises(Mistake, match=r"2 servers run here; say which with --port: http://127.0.0.1:9000, https:"):
        running()
    monkeypatch.setenv("MOCK_SERVER_PORT", "9443")
    assert running() == TWO


def test_a_server_elsewhere_is_asked_as_said(given: list[Whereabouts], monkeypatch: pytest.MonkeyPatch) -> None:
    given.append(ONE)
    assert running("--host", "mock.example", "--port", "9000").url == "http://mock.example:9000"
    monkeypatch.setenv("MOCK_SERVER_CONTROL_TOKEN", "mine")
    assert running().token == "mine"


def test_where_none_is_found_flags_and_variables_have_to_do(
    given: list[Whereabouts], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert running().url == "http://127.0.0.1:8787"
    monkeypatch.setenv("MOCK_SERVER_HOST", "0.0.0.0")
    monkeypatch.setenv("MOCK_SERVER_PORT", "9000")
    monkeypatch.setenv("MOCK_SERVER_TLS", "self-signed")
    assert running().url == "https://127.0.0.1:9000"


@needs_memory_files
def test_health_and_journal_follow_a_server_that_speaks_tls(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mock_server"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MOCK_SERVER_")}
    serve = [*command, "--port", "0", "--tls", "self-signed", "--host", "0.0.0.0"]
    with subprocess.Popen(serve, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        port = url.rpartition(":")[2]
        assert url.startswith("https://127.0.0.1:")
        for words, said in (("health", f"ok: mock-server {VERSION} on {url}, "), ("journal", "")):
            run = [*command, words, "--port", port]
            done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=30, check=False)
            assert (done.returncode, done.stderr) == (0, "")
            assert said in done.stdout
        server.terminate()


@pytest.mark.parametrize("value", ["tcp://10.0.171.239:8787", "udp://[fd00::1]:8787"])
def test_a_service_link_of_kubernetes_is_no_port(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    environment = {"MOCK_SERVER_PORT": value, "MOCK_SERVER_SEED": "3"}
    assert cli.configuration.service_link(environment) == "MOCK_SERVER_PORT"
    assert cli.configuration.from_environment(environment) == {"seed": 3}


def test_the_address_in_the_banner_answers_also_when_bound_to_all(tmp_path: Path) -> None:
    serve = [sys.executable, "-m", "mock_server", "--port", "0", "--host", "0.0.0.0"]
    environment = {**os.environ, "MOCK_SERVER_PORT": "tcp://10.0.0.1:80"}
    with subprocess.Popen(
        serve, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{url}/_mock/ready", timeout=10) as reply:
            assert reply.status == 200
        server.terminate()
        _, errors = server.communicate(timeout=10)
    assert errors.count("WARNING MOCK_SERVER_PORT=tcp://10.0.0.1:80 is ignored") == 1
