"""The image as its users start it, well and badly: what it serves, what it says, whether it is healthy."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from image.conftest import BODY, ROOT, Container, ask, docker

Start = Callable[..., Container]
HELLO = "name: mine\nwhen: {prompt: Hi}\nreply: From the mount.\n"
SLOW = "name: slow\nwhen: {prompt: Hi}\ntiming: {gap: 1m}\nreply: one two three\n"


def test_without_a_mount_the_library_is_served_and_it_is_said_how_to_mount_ones_own(start: Start) -> None:
    mock = start()
    assert "ok: mock-server" in mock.health()
    first, second = mock.lines[:2]
    assert first == "mock-server listening on http://127.0.0.1:8787"
    assert second.endswith(" scenarios from the built-in library")
    assert (
        '/scenarios is empty: the built-in library is served; serve your own: docker run -v "$PWD/scenarios' in mock.log
    )
    assert ask(mock.url(), **{"x-mock-scenario": "hello"})[0] == 200


def test_an_empty_mount_is_told_and_what_is_put_into_it_is_served(start: Start, folder: Path) -> None:
    mock = start("--volume", f"{folder}:/scenarios:ro")
    mock.health()
    assert "the mount /scenarios holds no scenario files (*.yaml, *.yml): the built-in library is served" in mock.log
    (folder / "mine.yaml").write_text(HELLO)
    wait_until(lambda: "From the mount." in ask(mock.url())[1])


def test_flags_are_followed_by_the_health_check_and_keep_the_mount(start: Start, folder: Path) -> None:
    (folder / "mine.yaml").write_text(HELLO)
    mock = start("--volume", f"{folder}:/scenarios:ro", command=("--port", "9000", "--base-path", "/llm"))
    mock.health()
    assert mock.lines[:2] == [
        "mock-server listening on http://127.0.0.1:9000/llm",
        "1 scenario from /scenarios",
    ]
    assert "From the mount." in ask(mock.url(9000), "/llm/v1/messages")[1]


def test_a_service_link_of_kubernetes_is_ignored_with_a_warning(start: Start) -> None:
    mock = start("--env", "MOCK_SERVER_PORT=tcp://10.0.171.239:8787")
    mock.health()
    assert "MOCK_SERVER_PORT=tcp://10.0.171.239:8787 is ignored: it is an address that Kubernetes sets" in mock.log
    assert ask(mock.url())[0] == 200


@pytest.mark.parametrize("user", ["10001:10001", "4711:0"], ids=["its own user", "a random one"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_it_needs_no_writable_file_system_no_capability_and_no_certain_user(start: Start, user: str, tls: bool) -> None:
    hardened = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--user", user)
    mock = start(*hardened, command=("--tls", "self-signed") if tls else ())
    assert "ok: mock-server" in mock.health()
    assert mock.lines[0] == f"mock-server listening on {'https' if tls else 'http'}://127.0.0.1:8787"


def test_a_wrong_token_is_refused_and_health_needs_none(start: Start) -> None:
    mock = start("--env", "MOCK_SERVER_CONTROL_TOKEN=right")
    mock.health()
    asked = [ask(mock.url(), "/_mock/journal", None, authorization=f"Bearer {token}") for token in ("wrong", "right")]
    assert [status for status, _ in asked] == [401, 200]
    assert "the control API needs its token here" in asked[0][1]
    mock.run("mock-server", "journal")
    told = docker("exec", "--env", "MOCK_SERVER_CONTROL_TOKEN=wrong", mock.number, "mock-server", "journal", code=2)
    assert told.splitlines() == [
        "mock-server: the control API needs its token here; authorization: Bearer MOCK_SERVER_CONTROL_TOKEN"
    ]


def test_sigterm_gives_streams_their_time_and_ends_with_0(start: Start, folder: Path) -> None:
    (folder / "slow.yaml").write_text(SLOW)
    mock = start("--volume", f"{folder}:/scenarios:ro", command=("--drain", "1"))
    mock.health()
    client = http.client.HTTPConnection(mock.url().removeprefix("http://"), timeout=20)
    client.request("POST", "/v1/messages", json.dumps({**BODY, "stream": True}), {"x-api-key": "any"})
    stream = client.getresponse()
    assert stream.readline() == b"event: message_start\n"
    began = time.monotonic()
    docker("stop", "--time", "30", mock.number)
    assert time.monotonic() - began < 20
    assert mock.state("ExitCode") == "0"
    with pytest.raises(http.client.IncompleteRead):
        stream.read()
    client.close()


@pytest.mark.parametrize("init", [(), ("--init",)], ids=["as process 1", "below an init"])
def test_a_server_that_nothing_outside_reaches_is_unhealthy_and_says_why(start: Start, init: tuple[str, ...]) -> None:
    mock = start(*init, "--health-interval", "500ms", "--health-start-period", "1ms", command=("--host", "127.0.0.1"))
    told = "http://127.0.0.1:8787: nothing outside this container reaches it; start it with --host 0.0.0.0"
    assert told in mock.health("unhealthy")
    assert told in mock.log
    mock.run("mock-server", "health", "--host", "127.0.0.1")  # who asks by the address knows what it is


def test_without_a_network_it_says_so_in_a_line(start: Start) -> None:
    mock = start("--network", "none")
    mock.health()
    (line,) = (line for line in mock.lines if "no network" in line)
    assert line.endswith("ERROR this container has no network: only what runs in it reaches the server")


def test_a_broken_edit_is_unhealthy_and_the_last_good_set_stays(start: Start, folder: Path) -> None:
    (folder / "mine.yaml").write_text(HELLO)
    mock = start("--volume", f"{folder}:/scenarios:ro", "--health-interval", "500ms", "--health-start-period", "1ms")
    mock.health()
    (folder / "mine.yaml").write_text("name: mine\nrepyl: x\n")
    assert "mine.yaml:2:1: unknown key 'repyl'" in mock.health("unhealthy")
    assert "From the mount." in ask(mock.url())[1]


# -- what ends at once, with one line that says why --------------------------------------------------------------------


def last_line(mock: Container) -> str:
    """The one line of a container that ended with a mistake of its user."""
    assert mock.ended() == 2
    assert "Traceback" not in mock.log
    return mock.lines[-1]


def test_a_broken_mount(start: Start, folder: Path) -> None:
    (folder / "mine.yaml").write_text("name: mine\nrepyl: x\n")
    line = last_line(start("--volume", f"{folder}:/scenarios:ro"))
    assert line.startswith("/scenarios/mine.yaml:2:1: unknown key 'repyl' in scenario")


def test_a_file_that_is_mounted_by_itself_is_served_with_a_word_on_edits(start: Start, folder: Path) -> None:
    (folder / "mine.yaml").write_text(HELLO)
    mock = start("--volume", f"{folder / 'mine.yaml'}:/scenarios/mine.yaml:ro")
    mock.health()
    assert "From the mount." in ask(mock.url())[1]
    assert "/scenarios/mine.yaml is mounted by itself: an edit that replaces it is not seen here" in mock.log


def test_a_file_in_the_place_of_the_folder_is_refused_by_the_engine(image: str, folder: Path) -> None:
    (folder / "mine.yaml").write_text(HELLO)
    told = docker("run", "--rm", "--volume", f"{folder / 'mine.yaml'}:/scenarios:ro", image, code=None)
    assert "not a directory" in told
    assert "Traceback" not in told


def test_a_file_that_is_no_scenario(start: Start, folder: Path) -> None:
    (folder / "notes.txt").write_text("Just text.\n")
    line = last_line(start("--volume", f"{folder / 'notes.txt'}:/notes.txt:ro", command=("/notes.txt",)))
    assert line.startswith("/notes.txt:1:1: expected")


def test_a_mount_that_may_not_be_read(start: Start, folder: Path) -> None:
    (folder / "mine.yaml").write_text(HELLO)
    folder.chmod(0o700)
    assert last_line(start("--volume", f"{folder}:/scenarios:ro")) == "/scenarios: cannot be read: Permission denied"


def test_a_path_that_is_not_there(start: Start) -> None:
    told = "/scenario: no such file or folder; did you mean '/scenarios'?"
    assert last_line(start(command=("serve", "/scenario"))) == told


def test_a_port_in_use_inside(start: Start) -> None:
    first = start()
    first.health()
    second = start("--network", f"container:{first.number}")
    told = "the port is in use; --port 0 (MOCK_SERVER_PORT=0) picks a free one"
    assert last_line(second) == f"mock-server: cannot listen on 0.0.0.0:8787: {told}"


# -- what it costs ------------------------------------------------------------------------------------------------------


def test_size_and_start_are_told_beside_those_of_the_base_image(
    start: Start, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (base,) = {line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM")}
    base = base.replace("${PYTHON}", "3.13")
    sizes = {one: int(docker("image", "inspect", "--format", "{{.Size}}", one)) / 1e6 for one in (base, image)}
    began = time.monotonic()
    docker("run", "--rm", base, "python3", "-c", "pass")
    bare = time.monotonic() - began
    began = time.monotonic()
    mock = start()
    wait_until(lambda: "listening" in mock.log)
    listening = time.monotonic() - began
    mock.health()
    healthy = time.monotonic() - began
    with capsys.disabled():
        print(f"\nsize: {sizes[image]:.0f} MB, of which {base} is {sizes[base]:.0f} MB")
        print(f"start: listening after {listening:.1f} s, healthy after {healthy:.1f} s; {base} alone {bare:.1f} s")
    assert sizes[image] > sizes[base]


def test_the_other_commands_do_in_the_image_too(image: str) -> None:
    assert "hello" in docker("run", "--rm", image, "list")
    assert docker("run", "--rm", image, "docs", "sidecar").startswith("# ")
    version = subprocess.run(
        [ROOT / ".venv" / "bin" / "mock-server", "--version"], capture_output=True, text=True, check=False
    )
    assert docker("run", "--rm", image, "--version") == version.stdout.strip()


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
