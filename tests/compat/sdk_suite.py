"""Runs the Python SDK's own tests of its resources against this server, and holds the outcome against what is known.

    python tests/compat/sdk_suite.py

The tests come from the SDK's source distribution, fetched into `.compat/`. They are made for a server that says yes to
everything; what one that remembers cannot say yes to is listed in `CANNOT`, each with its reason. A test that is not
listed and fails is a failure, and so is one that is listed and passes. Where the package index cannot be reached this is
skipped with the reason; where CI=true it is a failure.
"""

import logging
import os
import subprocess
import sys
import tarfile
import tempfile
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
FOLDER = "tests/api_resources/"
MESSAGES = [f"{FOLDER}test_messages.py", f"{FOLDER}beta/test_messages.py"]
SUITE = [
    *MESSAGES,
    *(f"{FOLDER}{beta}{name}" for beta in ("", "beta/") for name in ("messages", "test_models.py", "test_files.py")),
]
TEST_LIMIT = 600


class Cannot(NamedTuple):
    """Tests that fail against a server that remembers: why, what the failure says, and globs over `file::test`, each of
    which means the test in all its variants: sync and async, strict and loose."""

    reason: str
    says: str
    tests: Sequence[str]


def calls(file: str, *names: str) -> list[str]:
    """The tests that make one of these calls, in the stable API and in the beta: whole, raw and streamed."""
    kinds = ("method_{}", "method_{}_with_all_params", "raw_response_{}", "streaming_response_{}")
    return [f"{beta}{file}::test_{kind.format(name)}" for beta in ("", "beta/") for kind in kinds for name in names]


def with_all(file: str, name: str) -> list[str]:
    """The tests that make this call with every parameter there is."""
    return [f"{beta}{file}::test_method_{name}_with_all_params" for beta in ("", "beta/")]


CANNOT = (
    Cannot(
        "the id is made up, so there is nothing of that id",
        "*404*not_found_error*",
        [
            *calls("test_models.py", "retrieve"),
            *calls("test_files.py", "retrieve_metadata", "delete"),
            *calls("messages/test_batches.py", "retrieve", "cancel", "delete"),
        ],
    ),
    Cannot(
        "of these parameters a list takes one",
        "*400*invalid_request_error*",
        [
            *with_all("test_models.py", "list"),
            *with_all("test_files.py", "list"),
            *with_all("messages/test_batches.py", "list"),
        ],
    ),
    Cannot(
        "the tool's schema is no JSON Schema",  # the second run lets it pass
        "*400*invalid_request_error*JSON schema is invalid*",
        [
            "test_messages.py::test_method_create_with_all_params*",
            "test_messages.py::test_method_count_tokens_with_all_params",
        ],
    ),
    Cannot(
        "a thread takes no cache_control, context_management or fallbacks",
        "*ThreadUnsupportedRequestError*400*not supported together with*",
        ["beta/test_messages.py::test_method_create_with_all_params*"],
    ),
    Cannot(
        "there is no beta of the name `string`",
        "*400*invalid_request_error*anthropic-beta*",
        ["beta/test_messages.py::test_method_count_tokens_with_all_params"],
    ),
)
# the second run: with what it would refuse let pass, the server reads every parameter of a message
LENIENT = {"profile": "octen", "validation": "warn", "any_model": True}


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
    logging.getLogger("mock_server").setLevel(
        logging.ERROR
    )  # what is refused, or let pass, is what the tests are about
    with MockServer(profile="anthropic", unmatched="generate") as server, server.session("lenient") as lenient:
        lenient.override(**LENIENT)
        runs = (
            ("the SDK's own tests", ran(python, source, server.url, *SUITE), CANNOT),
            ("messages, leniently", ran(python, source, f"{server.url}/s/lenient", "-n0", *MESSAGES), ()),
        )
        return 1 if [name for name, run, known in runs if not held(name, run, known)] else 0


def prepared() -> tuple[Path, Path]:
    """The Python that has what the tests need, and the folder with the SDK's source. Raises CannotInstall."""
    python = environment("sdk-suite", *NEEDS)
    folder = HOME / f"anthropic-{VERSION}-source"
    if not folder.exists():
        name = f"anthropic=={VERSION}"
        pip(python, "download", "--no-deps", "--no-binary", "anthropic", "--no-build-isolation", "-d", str(HOME), name)
        _unpack(HOME / f"anthropic-{VERSION}.tar.gz", folder)
    return python, folder / f"anthropic-{VERSION}"


def _unpack(packed: Path, folder: Path) -> None:
    """Unpack an archive: the folder is there whole or not at all."""
    with tarfile.open(packed) as archive, tempfile.TemporaryDirectory(dir=HOME) as beside:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(beside)
        Path(beside).rename(folder)
        Path(beside).mkdir()  # for the context to remove


class Run(NamedTuple):
    """What one run of the suite came to; `broken`: why it did not come to its end."""

    outcomes: Sequence[Outcome]
    took: float
    broken: str = ""


def ran(python: Path, source: Path, url: str, *words: str) -> Run:
    """What pytest finds with these words, against the server at `url`."""
    report = HOME / "sdk-suite-report.xml"
    report.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *words]
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


def held(name: str, run: Run, known: Sequence[Cannot]) -> bool:
    """Whether a run came to what is known; says what did not."""
    problems = [run.broken] if run.broken else [*differences(run.outcomes, known)]
    for problem in problems:
        print(problem)
    counted = ", ".join(f"{count} {said}" for said, count in counts(run.outcomes, known).items() if count)
    state = f"FAILED ({len(problems)})" if problems else "ok"
    print(f"anthropic {VERSION}, {name}: {state}: {counted or 'no test ran'}, {run.took:.0f} s", flush=True)
    return not problems


def differences(outcomes: Sequence[Outcome], known: Sequence[Cannot]) -> Iterator[str]:
    """What is listed and passes or fails in another way, what fails and is not listed, what is listed and not there."""
    for one in outcomes:
        listed = _listed(one, known)
        if listed is None and one.said == "failed":
            yield f"not listed, but fails: {one}"
        elif listed is not None and one.said == "passed":
            yield f"listed, but passes: {one} ({listed.reason})"
        elif listed is not None and one.said == "failed" and not fnmatchcase(one.why, listed.says):
            yield f"listed, but fails in another way: {one} ({listed.reason})"
    names = {one.test for one in outcomes}
    patterns = [pattern for cannot in known for pattern in cannot.tests]
    yield from (f"listed, but there is no such test: {one}" for one in patterns if not any_is(names, one))
    if not outcomes:
        yield "no test ran"


def any_is(names: set[str], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


def _listed(one: Outcome, known: Sequence[Cannot]) -> Cannot | None:
    return next((cannot for cannot in known for pattern in cannot.tests if fnmatchcase(one.test, pattern)), None)


def counts(outcomes: Sequence[Outcome], known: Sequence[Cannot]) -> Mapping[str, int]:
    """How many tests passed, were skipped, failed, or cannot pass as is known."""
    said = [
        "that cannot pass" if one.said == "failed" and _listed(one, known) is not None else one.said for one in outcomes
    ]
    return {name: said.count(name) for name in ("passed", "skipped", "failed", "that cannot pass")}


if __name__ == "__main__":
    sys.exit(main())
