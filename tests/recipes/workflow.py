"""Runs the shell steps of an action or a job as a runner of GitHub does, with its files for variables and outputs.

A small part of its language: `${{ a.b }}`, `||`, `&&`, `==`, `!=`, and `format`-free text around them. Anything else fails.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass
class Runner:
    """One job: what its steps have exported so far, and what they printed."""

    folder: Path
    workspace: Path
    path: str
    variables: dict[str, str] = field(default_factory=dict)
    printed: str = ""
    summary: str = ""
    uploads: list[Mapping[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "temp").mkdir(parents=True)

    def action(self, file: Path, **inputs: str) -> dict[str, str]:
        """Run a composite action; its outputs. Raises CalledProcessError for a step that fails."""
        action = yaml.safe_load(file.read_text())
        unknown = inputs.keys() - action["inputs"].keys()
        assert not unknown, f"no input is named {unknown}"
        known = {
            "github.job": "test",
            "strategy.job-index": "0",
        }
        defaults = {name: said.get("default", "") for name, said in action["inputs"].items()}
        given = {name: evaluated(str(text), known) for name, text in {**defaults, **inputs}.items()}
        known |= {f"inputs.{name}": text for name, text in given.items()}
        for step in action["runs"]["steps"]:
            if evaluated(step.get("if", "true"), known) != "true":
                continue
            if "uses" in step:
                self.uploads.append({name: evaluated(str(text), known) for name, text in step["with"].items()})
                continue
            assert step["shell"] == "bash"
            said = {name: evaluated(str(text), known) for name, text in step.get("env", {}).items()}
            outputs = self.step(step["run"], {"GITHUB_ACTION_PATH": str(file.parent), **said})
            known |= {f"steps.{step['id']}.outputs.{name}": text for name, text in outputs.items()}
        return {name: evaluated(said["value"], known) for name, said in action["outputs"].items()}

    def step(self, script: str, environment: Mapping[str, str] = {}) -> dict[str, str]:
        """Run one script; its outputs. What it exports is there for the next one."""
        assert "${{" not in script, "what a workflow passes is no part of a script"
        files = {
            name: self.folder / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
        }
        for file in files.values():
            file.write_text("")
        ours = ("ANTHROPIC_", "MOCK_SERVER_", "GITHUB_", "PYTEST_")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", f"ulimit -Sn 1024\n{script}"],
            cwd=self.workspace,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
                "RUNNER_TEMP": str(self.folder / "temp"),
                "PATH": self.path,
                "no_proxy": "127.0.0.1",
                **{name: str(file) for name, file in files.items()},
                **self.variables,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=240,
        )
        self.printed += done.stdout
        self.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        self.variables |= _pairs(files["GITHUB_ENV"])
        self.path = ":".join([*files["GITHUB_PATH"].read_text().split(), self.path])
        done.check_returncode()
        return _pairs(files["GITHUB_OUTPUT"])


def _pairs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def evaluated(text: str, known: Mapping[str, str]) -> str:
    """`text` with every expression in it replaced. A name that is not known is empty, as it is there."""
    return _EXPRESSION.sub(lambda found: _either(found[1], known), text)


def _either(text: str, known: Mapping[str, str]) -> str:
    for part in text.split("||"):
        value = _all(part, known)
        if value not in ("", "false"):
            return value
    return value


def _all(text: str, known: Mapping[str, str]) -> str:
    for part in text.split("&&"):
        value = _compared(part.strip(), known)
        if value in ("", "false"):
            return value
    return value


def _compared(text: str, known: Mapping[str, str]) -> str:
    for operator, same in (("==", True), ("!=", False)):
        left, found, right = text.partition(operator)
        if found:
            equal = _value(left.strip(), known) == _value(right.strip(), known)
            return str(equal is same).lower()
    return _value(text, known)


def _value(text: str, known: Mapping[str, str]) -> str:
    if text.startswith("'"):
        return text.strip("'")
    assert re.fullmatch(r"[a-z_]+(\.[\w-]+)+", text), f"{text}: not a part of the language that is played here"
    assert text in known or text.startswith("steps."), f"nothing is named {text}"
    return known.get(text, "")


def steps(file: Path, job: str) -> Mapping[str, Any]:
    """The scripts of a job, by the names of their steps."""
    return {
        step["name"]: step["run"] for step in yaml.safe_load(file.read_text())["jobs"][job]["steps"] if "name" in step
    }
