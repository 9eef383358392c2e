"""What the run of the SDK's own tests makes of their outcomes: `sdk_suite.py`, without the tests."""

from pathlib import Path

import pytest
from environments import CannotInstall
from sdk_suite import CANNOT, Cannot, Outcome, Run, counts, differences, held, main, outcomes

LISTED = (Cannot("made up", "*404*", ["models.py::test_get", "models.py::test_*_one"]),)
PASSED = Outcome("models.py::test_list", "sync strict", "passed")
GONE = Outcome("models.py::test_get", "sync strict", "failed", "NotFoundError: 404")
ONE = Outcome("models.py::test_get_one", "async aiohttp", "failed", "NotFoundError: 404")

REPORT = """<testsuites><testsuite>
<testcase file="tests/api_resources/beta/test_models.py" classname="tests.api_resources.beta.test_models.TestModels" name="test_list[strict]"/>
<testcase file="tests/api_resources/test_models.py" classname="tests.api_resources.test_models.TestAsyncModels" name="test_get[aiohttp]">
<failure message="NotFoundError:&#10;  404">trace</failure></testcase>
<testcase file="tests/api_resources/test_files.py" classname="tests.api_resources.test_files.TestFiles" name="test_download">
<skipped message="not here">x</skipped></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([PASSED, GONE, ONE], []),
        ([PASSED, GONE, ONE, Outcome("models.py::test_get", "sync loose", "skipped")], []),
        (
            [PASSED, GONE._replace(said="passed"), ONE],
            ["listed, but passes: models.py::test_get sync strict: passed: NotFoundError: 404 (made up)"],
        ),
        (
            [PASSED._replace(said="failed", why="AssertionError"), GONE, ONE],
            ["not listed, but fails: models.py::test_list sync strict: failed: AssertionError"],
        ),
        (
            [GONE._replace(why="InternalServerError: 500"), ONE],
            [
                "listed, but fails in another way: models.py::test_get sync strict: failed: InternalServerError: 500 (made up)"
            ],
        ),
        ([PASSED, GONE], ["listed, but there is no such test: models.py::test_*_one"]),
    ],
)
def test_what_is_not_as_it_is_listed_is_told(found: list[Outcome], told: list[str]) -> None:
    assert [*differences(found, LISTED)] == told


def test_a_run_without_tests_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert not held("nothing", Run((), 1.0), ())
    assert not held("broken", Run((), 1.0, "pytest ended with 4"), ())
    assert "FAILED (1): no test ran, 1 s" in capsys.readouterr().out


def test_a_run_as_it_is_known_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert held("models", Run((PASSED, GONE, ONE), 2.0), LISTED)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("models: ok: 1 passed, 2 that cannot pass, 2 s")
    assert counts((PASSED, GONE, ONE), ()) == {"passed": 1, "skipped": 0, "failed": 2, "that cannot pass": 0}


def test_a_report_is_read_with_its_variants_and_reasons(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert [*outcomes(report)] == [
        Outcome("beta/test_models.py::test_list", "sync strict", "passed"),
        Outcome("test_models.py::test_get", "async aiohttp", "failed", "NotFoundError: 404"),
        Outcome("test_files.py::test_download", "sync", "skipped", "not here"),
    ]


def test_no_test_is_listed_twice() -> None:
    listed = [test for cannot in CANNOT for test in cannot.tests]
    assert len(listed) == len({*listed})


@pytest.mark.parametrize(("in_ci", "code", "word"), [(False, 0, "skipped"), (True, 1, "FAILED")])
def test_without_an_index_it_is_skipped_and_in_ci_a_failure(
    in_ci: bool, code: int, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable() -> None:
        raise CannotInstall("no index")

    monkeypatch.setattr("sdk_suite.prepared", unreachable)
    monkeypatch.setattr("sdk_suite.IN_CI", in_ci)
    assert main() == code
    assert capsys.readouterr().out == f"the SDK's own tests: {word}: cannot install: no index\n"
