"""The recipes on a container engine: what a runner, a kubelet and Testcontainers do with the image, done with `docker`.

They run where MOCK_SERVER_ENGINE_EXPECTED says that there is an engine. MOCK_SERVER_IMAGE names the image; without it one
is built from the checkout.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from configmap import ConfigMapVolume
from recipes.workflow import Runner, steps

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SERVICES = EXAMPLES / "github" / "services.yaml"
WEATHER = (EXAMPLES / "scenarios" / "weather.yaml").read_text()
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
Start = Callable[..., str]
pytestmark = pytest.mark.timeout(300)


def docker(*words: str | Path, code: int = 0, folder: Path = ROOT, **environment: str) -> str:
    """What a docker command prints, both ways; it must end with this code."""
    done = subprocess.run(
        ["docker", *map(str, words)],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout.strip()


@pytest.fixture(scope="session")
def image() -> str:
    if not os.environ.get("MOCK_SERVER_ENGINE_EXPECTED"):
        pytest.skip("builds and runs the image on a container engine: only with MOCK_SERVER_ENGINE_EXPECTED=1")
    if given := os.environ.get("MOCK_SERVER_IMAGE"):
        return given
    docker("build", "--quiet", "--tag", "messages-mock-server:recipes", ROOT)
    return "messages-mock-server:recipes"


@pytest.fixture
def start(image: str) -> Iterator[Start]:
    """Start a container, wait until it is healthy; its id."""
    started: list[str] = []

    def run(*options: str | Path, command: Sequence[str] = ()) -> str:
        started.append(docker("run", "--detach", "--publish", "127.0.0.1::8787", *options, image, *command))
        until(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", started[-1]) == "healthy")
        return started[-1]

    yield run
    for one in started:
        docker("rm", "--force", "--volumes", one)


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"not so after {seconds} s"
        time.sleep(0.1)


def url(container: str) -> str:
    return "http://" + docker("port", container, "8787/tcp").splitlines()[0]


def status(address: str) -> int:
    try:
        with OPENER.open(address, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def ask(base: str) -> Mapping[str, Any]:
    """Which reply a question about the weather gets."""
    body = {
        "model": "claude-opus-4-8",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": "How is the weather?"}],
        "tools": [{"name": "get_weather", "input_schema": {"type": "object"}}],
    }
    headers = {"x-api-key": "any", "content-type": "application/json"}
    with OPENER.open(urllib.request.Request(f"{base}/v1/messages", json.dumps(body).encode(), headers)) as reply:
        said: Mapping[str, Any] = json.load(reply)
    return said


def says(base: str, text: str) -> bool:
    return any(block.get("text", "").startswith(text) for block in ask(base)["content"])


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A job whose checkout has the scenarios where the examples expect them."""
    workspace = tmp_path / "checkout"
    shutil.copytree(EXAMPLES / "scenarios", workspace / "tests" / "scenarios")
    return Runner(tmp_path / "runner", workspace, os.environ["PATH"])


# -- compose ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def compose(image: str) -> Iterator[Callable[..., str]]:
    """`docker compose` in the folder of the example, as a project of its own."""
    project = ("compose", "--project-name", f"recipes-{uuid.uuid4().hex[:8]}")

    def run(*words: str, code: int = 0, **environment: str) -> str:
        return docker(*project, *words, code=code, folder=EXAMPLES / "compose", MOCK_SERVER_IMAGE=image, **environment)

    yield run
    run("down", "--volumes", "--timeout", "5")


def test_a_project_that_includes_the_sidecar_talks_to_it_once_it_is_healthy(compose: Callable[..., str]) -> None:
    printed = compose("up", "--exit-code-from", "app")
    assert "4 messages, end_turn: It is sunny in Paris." in printed


def test_a_folder_of_scenarios_that_is_not_there_is_told_and_not_made(compose: Callable[..., str]) -> None:
    printed = compose("up", "--wait", "mock", code=1, MOCK_SERVER_SCENARIOS="./nowhere")
    assert "bind source path does not exist" in printed
    assert not (EXAMPLES / "compose" / "nowhere").exists()


# -- services: GitHub, GitLab ---------------------------------------------------------------------------------------


@pytest.fixture
def service(start: Start) -> str:
    """The service of the workflow, as its runner starts one: variables, a published port, no mount."""
    said = yaml.safe_load(SERVICES.read_text())["jobs"]["posted"]["services"]["mock"]
    assert said.keys() == {"image", "ports", "env"}
    return start(*(f"--env={name}={value}" for name, value in said["env"].items()))


def test_a_service_without_a_mount_serves_the_library(service: str) -> None:
    body = {
        "model": "claude-opus-4-8",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": "[[scenario:hello]]"}],
    }
    request = urllib.request.Request(f"{url(service)}/v1/messages", json.dumps(body).encode(), {"x-api-key": "any"})
    with OPENER.open(request) as reply:
        assert json.load(reply)["content"][0]["text"].startswith("Hello")


def test_what_is_in_the_checkout_is_posted_to_the_service(service: str, runner: Runner) -> None:
    runner.variables |= {"ANTHROPIC_BASE_URL": url(service), "MOCK_SERVER_CONTROL_TOKEN": "ci"}
    runner.step(steps(SERVICES, "posted")["Add the scenarios"])
    assert '{"added":["weather"]}' in runner.printed
    assert ask(url(service))["stop_reason"] == "tool_use"


def test_a_mistake_in_what_is_posted_fails_the_step_and_is_printed(service: str, runner: Runner) -> None:
    runner.variables |= {"ANTHROPIC_BASE_URL": url(service), "MOCK_SERVER_CONTROL_TOKEN": "ci"}
    (runner.workspace / "tests" / "scenarios" / "a.yaml").write_text("name: a\nrepyl: Hi\n")
    with pytest.raises(subprocess.CalledProcessError):
        runner.step(steps(SERVICES, "posted")["Add the scenarios"])
    assert "2:1: unknown key 'repyl'" in runner.printed
    assert '"added"' not in runner.printed


def test_a_wrong_token_fails_the_step_and_is_told(service: str, runner: Runner) -> None:
    runner.variables |= {"ANTHROPIC_BASE_URL": url(service), "MOCK_SERVER_CONTROL_TOKEN": "another"}
    with pytest.raises(subprocess.CalledProcessError):
        runner.step(steps(SERVICES, "posted")["Add the scenarios"])
    assert "the control API needs its token here" in runner.printed


def test_pytest_brings_the_scenarios_of_the_checkout_itself(service: str, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "scenarios", tmp_path / "scenarios")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmock_server_scenarios = scenarios\n")
    (tmp_path / "test_it.py").write_text(
        "from anthropic import Anthropic\n"
        "def test_it(mock_server):\n"
        "    with Anthropic(base_url=mock_server.url, api_key=mock_server.api_key) as client:\n"
        "        client.messages.create(model='claude-opus-4-8', max_tokens=99, tools=[\n"
        "            {'name': 'get_weather', 'input_schema': {'type': 'object'}}],\n"
        "            messages=[{'role': 'user', 'content': 'weather?'}])\n"
        "    assert mock_server.journal[-1].scenario == 'weather'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--mock-server-url", url(service)]
    environment = {**os.environ, "MOCK_SERVER_CONTROL_TOKEN": "ci", "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_files_that_are_copied_into_the_service_are_served(service: str, runner: Runner) -> None:
    (command,) = re.findall(r"`(docker cp [^`]+)`", (ROOT / "docs" / "sidecar.md").read_text())
    runner.step(command, {"ID": service})
    until(lambda: ask(url(service))["stop_reason"] == "tool_use")


@pytest.fixture
def mounted(image: str) -> Iterator[tuple[str, str]]:
    """The step that runs the image after the checkout, for this image and on a free port; and the container's name."""
    script = steps(SERVICES, "mounted")["Start the server"]
    name = f"recipes-{uuid.uuid4().hex[:8]}"
    for published, ours in (
        ("ghcr.io/your-org/messages-mock-server", image),
        ("127.0.0.1:8787:8787", "127.0.0.1::8787"),
        ("--name mock ", f"--name {name} "),
        (" mock)", f" {name})"),
        ("docker logs mock", f"docker logs {name}"),
    ):
        assert published in script
        script = script.replace(published, ours)
    yield script, name
    docker("rm", "--force", name)


def test_the_image_run_by_a_step_mounts_the_checkout(mounted: tuple[str, str], runner: Runner) -> None:
    script, name = mounted
    runner.step(script)
    assert ask(url(name))["stop_reason"] == "tool_use"


def test_a_mistake_in_a_mounted_scenario_fails_the_step_and_is_printed(
    mounted: tuple[str, str], runner: Runner
) -> None:
    (runner.workspace / "tests" / "scenarios" / "weather.yaml").write_text("name: weather\nrepyl: Hi\n")
    with pytest.raises(subprocess.CalledProcessError):
        runner.step(mounted[0])
    assert "/scenarios/weather.yaml:2:1: unknown key 'repyl'" in runner.printed


# -- Kubernetes -------------------------------------------------------------------------------------------------------


def test_the_container_of_the_pod_follows_its_config_map(start: Start, tmp_path: Path) -> None:
    """Its variables, its security context and its probes, beside a volume that changes as the kubelet changes it."""
    manifests = [*yaml.safe_load_all((EXAMPLES / "kubernetes" / "sidecar.yaml").read_text())]
    (deployment,) = (one for one in manifests if one["kind"] == "Deployment")
    (files,) = (one["data"] for one in manifests if one["kind"] == "ConfigMap")
    (sidecar,) = deployment["spec"]["template"]["spec"]["initContainers"]
    (mount,) = sidecar["volumeMounts"]
    security = sidecar["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert mount["readOnly"]
    volume = ConfigMapVolume(tmp_path / "volume", files)
    container = start(
        "--read-only",
        "--security-opt=no-new-privileges:true",
        *(f"--cap-drop={name}" for name in security["capabilities"]["drop"]),
        *(f"--env={one['name']}=change-me" for one in sidecar["env"]),
        f"--memory={sidecar['resources']['limits']['memory'].replace('Mi', 'm')}",
        f"--volume={volume.folder}:{mount['mountPath']}:ro",
    )
    assert docker("exec", container, "id", "-u") != "0"
    base = url(container)
    probes = {name: sidecar[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {name: status(base + path) for name, path in probes.items()} == dict.fromkeys(probes, 200)
    assert says(base, "Let me look.")

    volume.update({"weather.yaml": WEATHER.replace("Let me look.", "One moment.")})
    until(lambda: says(base, "One moment."))

    volume.update({"weather.yaml": "name: weather\nrepyl: Hi\n"})
    until(lambda: status(base + probes["readinessProbe"]) == 503)
    assert status(base + probes["livenessProbe"]) == 200
    assert says(base, "One moment.")

    volume.update({"weather.yaml": WEATHER, "more.yaml": "name: more\nwhen: {prompt: more}\nreply: More.\n"})
    until(lambda: status(base + probes["readinessProbe"]) == 200)
    assert says(base, "Let me look.")


# -- Testcontainers ---------------------------------------------------------------------------------------------------


def test_the_tests_of_testcontainers_pass(image: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("testcontainers") is None and os.environ.get("CI") != "true":
        pytest.skip("testcontainers is not installed (pip install testcontainers)")
    file = shutil.copytree(EXAMPLES, tmp_path / "examples") / "testcontainers" / "test_in_a_container.py"
    # its helper container is an image of its own, which has to be pulled: what it does is remove containers of killed tests
    environment = {
        **os.environ,
        "MOCK_SERVER_IMAGE": image,
        "TESTCONTAINERS_RYUK_DISABLED": "true",
        "no_proxy": "localhost",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", file]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
