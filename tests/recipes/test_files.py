"""The recipes are files that their tools accept, and the docs show those files."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from mock_server.scenario.load import load

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "sidecar.md").read_text()
WEATHER = (EXAMPLES / "scenarios" / "weather.yaml").read_text()
SCHEMAS: dict[str, list[str]] = {
    "compose-spec": ["compose.yaml", "examples/compose/compose.yaml", "examples/compose/mock.yaml"],
    "github-actions": ["action.yml"],
    "github-workflows": ["examples/github/action.yaml", "examples/github/services.yaml"],
    "gitlab-ci": ["examples/gitlab/gitlab-ci.yml"],
}
MANIFESTS = ["examples/kubernetes/job.yaml", "examples/kubernetes/sidecar.yaml"]
VERSIONS = ["1.29", "1.33", "1.37"]  # the first with sidecars by default, the first where they are stable, a new one


def tool(name: str) -> str:
    """The command of a package that only CI has to have."""
    command = Path(sys.executable).with_name(name)
    if not command.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} has to be installed with CI=true")
        pytest.skip(f"{name} is not installed (pip install {name})")
    return str(command)


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("schema", "files"), SCHEMAS.items())
def test_the_schema_accepts(schema: str, files: list[str], tmp_path: Path) -> None:
    done = against(schema, *(shown(ROOT / file, tmp_path) for file in files))
    assert done.returncode == 0, done.stdout + done.stderr


def against(schema: str, *files: Path) -> subprocess.CompletedProcess[str]:
    return run([tool("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *map(str, files)])


def shown(file: Path, folder: Path) -> Path:
    """The file as the schema should see it: what is hidden in a job of GitLab's that begins with a dot, it does not."""
    copy = folder / f"{file.parent.name}-{file.name}"
    copy.write_text(file.read_text().replace("\n.mock:\n", "\nmock:\n  script: [pytest]\n"))
    return copy


@pytest.mark.parametrize(
    ("schema", "file", "right", "wrong"),
    [
        ("compose-spec", "examples/compose/mock.yaml", "read_only: true", "read_only: [true]"),
        ("github-actions", "action.yml", "using: composite", "using: composed"),
        ("github-workflows", "examples/github/services.yaml", "runs-on:", "run-on:"),
        ("gitlab-ci", "examples/gitlab/gitlab-ci.yml", "alias: mock", "alias: [mock]"),
    ],
)
def test_the_schema_refuses_what_is_wrong(schema: str, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    changed = shown(ROOT / file, tmp_path)
    assert right in changed.read_text()
    changed.write_text(changed.read_text().replace(right, wrong))
    assert against(schema, changed).returncode == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts(version: str) -> None:
    done = run([tool("kubernetes-validate"), "--strict", "--kubernetes-version", version, *MANIFESTS])
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(f"against version {version}") == 4, done.stdout
    assert "WARN" not in done.stdout


def test_every_recipe_is_checked_by_something() -> None:
    checked = {*MANIFESTS, *(file for files in SCHEMAS.values() for file in files)}
    folders = ("compose", "github", "gitlab", "kubernetes")
    there = {file.relative_to(ROOT).as_posix() for name in folders for file in (EXAMPLES / name).glob("*.y*ml")}
    assert there <= checked


def test_the_sidecar_of_the_manifests_is_one_and_the_same() -> None:
    """What differs is when the pod counts as ready: tests have no traffic to be kept from."""
    (deployment,) = (one for one in manifests("sidecar.yaml") if one["kind"] == "Deployment")
    (job,) = manifests("job.yaml")
    specs = [one["spec"]["template"]["spec"] for one in (deployment, job)]
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    sidecars = [{key: value for key, value in one["initContainers"][0].items() if key not in probes} for one in specs]
    assert sidecars[0] == sidecars[1]
    assert sidecars[0]["restartPolicy"] == "Always"
    assert [one["enableServiceLinks"] for one in specs] == [False, False]
    assert specs[0]["volumes"] == specs[1]["volumes"]


def test_the_config_map_holds_the_scenarios_of_the_other_recipes(tmp_path: Path) -> None:
    (volume,) = (one for one in manifests("sidecar.yaml") if one["kind"] == "ConfigMap")
    assert volume["data"] == {"weather.yaml": WEATHER}
    assert [one.name for one in load([EXAMPLES / "scenarios"])] == ["weather"]


def manifests(name: str) -> list[dict[str, object]]:
    return [*yaml.safe_load_all((EXAMPLES / "kubernetes" / name).read_text())]


def test_the_two_ways_to_add_what_is_in_the_checkout_are_the_same() -> None:
    hub = yaml.safe_load((EXAMPLES / "github" / "services.yaml").read_text())["jobs"]["posted"]["steps"][1]["run"]
    lab = yaml.safe_load((EXAMPLES / "gitlab" / "gitlab-ci.yml").read_text())["posted"]["before_script"][0]
    assert hub == lab


def test_every_file_that_the_page_shows_is_linked() -> None:
    for file in re.findall(r"<!-- generated: file (\S+) -->", PAGE):
        assert f"](../{file})" in PAGE, file
