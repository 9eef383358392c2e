"""Runs the Python SDK's own tests of its resources against this server, and holds the outcome against what is known.

    python tests/compat/sdk_suite.py

The tests come from the SDK's source distribution, fetched into `.compat/`. They are made for a server that says yes to
everything; what one that remembers cannot say yes to is listed in `CANNOT`, each with its reason. A test that is not
listed and fails is a failure, and so is one that is listed and passes. Where the package index cannot be reached this is
skipped with the reason; where CI=true it is a failure.
"""

import os
import subprocess
import sys
import tarfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from environments import HOME, IN_CI, CannotInstall, environment, pip

from mock_server import MockServer

VERSION = "2.14.0"
# what the tests import, and what the archive is packed with
NEEDS = (
    *(f"anthropic[aiohttp]=={VERSION}", "pytest>=8.2", "pytest-asyncio>=0.24", "pytest-xdist>=3.6", "respx", "rich"),
    *("dirty-equals>=0.6", "inline-snapshot>=0.28", "http-snapshot[httpx]==0.1.9", "httpx2>=2.9"),
    *("hatchling", "hatch-fancy-pypi-readme"),
)
RESOURCES = ("test_messages.py", "messages", "test_models.py", "test_files.py")
SUITE = [f"tests/api_resources/{folder}{name}" for folder in ("", "beta/") for name in RESOURCES]
TEST_LIMIT = 400

NO_SCHEMA = "the tool's input_schema is no JSON Schema; the API refuses it too (see the second run)"

# reason -> globs over `file::test`, which means it in all its variants: sync and async, strict and loose
CANNOT: Mapping[str, Sequence[str]] = {
    NO_SCHEMA: (
        "test_messages.py::test_method_create_with_all_params_overload_[12]",
        "beta/test_messages.py::test_method_create_with_all_params_overload_[12]",
    ),
}
# the second run: what is wrong with a request is said in a header, and parameters that nobody knows are ignored
LENIENT = {"profile": "octen", "validation": "warn", "any_model": True}
ALL_PARAMETERS = "create_with_all_params and not batches"


class Outcome(NamedTuple):
    """One test in one variant: `passed`, `failed` or `skipped`, and why."""

    test: str
    variant: str
    said: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.test} {self.variant}: {self.said}{self.why and ': ' + self.why}"


def main() -> int:
    """One line for each run; what is not as it is known before it. 1 if anything is."""
    try:
        python, source = prepared()
    except CannotInstall as reason:
        print(f"the SDK's own tests: {'FAILED' if IN_CI else 'skipped'}: cannot install: {reason}", flush=True)
        return int(IN_CI)
    with MockServer(profile="anthropic", unmatched="generate") as server, server.session("lenient") as lenient:
        lenient.override(**LENIENT)
        runs = (
            ("the SDK's own tests", ran(python, source, server.url), CANNOT),
            ("with all parameters", ran(python, source, f"{server.url}/s/lenient", "-k", ALL_PARAMETERS), {}),
        )
        return 1 if [name for name, run, known in runs if not held(name, run, known)] else 0


def prepared() -> tuple[Path, Path]:
    """The Python that has what the tests need, and the folder with the SDK's source. Raises CannotInstall."""
    python = environment("sdk-suite", *NEEDS)
    folder = HOME / f"anthropic-{VERSION}-source"
    if not folder.exists():
        name = f"anthropic=={VERSION}"
        pip(python, "download", "--no-deps", "--no-binary", "anthropic", "--no-build-isolation", "-d", str(HOME), name)
        with tarfile.open(HOME / f"anthropic-{VERSION}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return python, folder / f"anthropic-{VERSION}"


class Run(NamedTuple):
    """What one run of the suite came to; `broken`: why it did not come to its end."""

    outcomes: Sequence[Outcome]
    took: float
    broken: str = ""


def ran(python: Path, source: Path, url: str, *more: str) -> Run:
    """The suite against the server at `url`."""
    report = HOME / "sdk-suite-report.xml"
    report.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *more, *SUITE]
    quiet = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    start = time.monotonic()
    try:
        run = subprocess.run(
            [*command, "-o", "junit_family=xunit1"],
            cwd=source,
            env={**quiet, "TEST_API_BASE_URL": url},
            capture_output=True,
            text=True,
            timeout=TEST_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Run((), TEST_LIMIT, f"not done after {TEST_LIMIT} s")
    took = time.monotonic() - start
    if run.returncode not in (0, 1) or not report.exists():
        return Run((), took, f"pytest ended with {run.returncode}\n{run.stdout}{run.stderr}")
    return Run([*outcomes(report)], took)


def outcomes(report: Path) -> Iterator[Outcome]:
    """The tests of a JUnit report."""
    for case in xml.parse(report).iter("testcase"):
        file = case.attrib["file"].replace("\\", "/").removeprefix("tests/api_resources/")
        name, _, variant = case.attrib["name"].partition("[")
        ended = {child.tag: child.attrib.get("message", "") for child in case}
        said = "failed" if {"failure", "error"} & {*ended} else "skipped" if "skipped" in ended else "passed"
        why = " ".join(next(iter(ended.values()), "").split())[:300] if said != "passed" else ""
        kind = "async" if ".TestAsync" in case.attrib["classname"] else "sync"
        yield Outcome(f"{file}::{name}", f"{kind} {variant.rstrip(']')}".rstrip(), said, why)


def held(name: str, run: Run, known: Mapping[str, Sequence[str]]) -> bool:
    """Whether a run came to what is known; says what did not."""
    problems = [run.broken] if run.broken else [*differences(run.outcomes, known)]
    for problem in problems:
        print(problem)
    counted = ", ".join(f"{count} {said}" for said, count in counts(run.outcomes, known).items() if count)
    state = f"FAILED ({len(problems)})" if problems else "ok"
    print(f"anthropic {VERSION}, {name}: {state}: {counted or 'no test ran'}, {run.took:.0f} s", flush=True)
    return not problems


def differences(outcomes: Sequence[Outcome], known: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What is listed and passes, what is not listed and fails, and what is listed and is not there."""
    listed = {pattern: reason for reason, patterns in known.items() for pattern in patterns}
    found: set[str] = set()
    for one in outcomes:
        here = {pattern for pattern in listed if fnmatchcase(one.test, pattern)}
        found |= here
        if here and one.said == "passed":
            yield f"listed, but passes: {one} ({listed[min(here)]})"
        elif not here and one.said == "failed":
            yield f"not listed, but fails: {one}"
    yield from (f"listed, but there is no such test: {pattern}" for pattern in listed if pattern not in found)
    if not outcomes:
        yield "no test ran"


def counts(outcomes: Sequence[Outcome], known: Mapping[str, Sequence[str]]) -> Mapping[str, int]:
    """How many tests passed, were skipped, failed, or cannot pass as is known."""
    patterns = [pattern for listed in known.values() for pattern in listed]
    expected = {one.test for one in outcomes if any(fnmatchcase(one.test, pattern) for pattern in patterns)}
    said = ["that cannot pass" if one.said == "failed" and one.test in expected else one.said for one in outcomes]
    return {name: said.count(name) for name in ("passed", "skipped", "failed", "that cannot pass")}


if __name__ == "__main__":
    sys.exit(main())
