"""Settings: flags, variables and the docs table come from the same fields."""

from pathlib import Path
from typing import Any

import pytest

from mock_server import settings
from mock_server.cli import _settings, parser
from mock_server.settings import SettingError, Settings, misspelt


def given(*words: str) -> Settings:
    return _settings(parser().parse_args(["serve", *words]))


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in settings.rows():
        monkeypatch.delenv(row.variable, raising=False)


def test_nothing_said_means_the_defaults() -> None:
    assert given() == Settings()


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--port", "0"], "port", 0),
        (["--host", "::1"], "host", "::1"),
        (["--profile", "anthropic"], "profile", "anthropic"),
        (["--seed", "7"], "seed", 7),
        (["--time-scale", "0.5"], "time_scale", 0.5),
        (["--timing", "fast"], "timing", "fast"),
        (["--unmatched", "error"], "unmatched", "error"),
        (["--api-key", "a*", "--api-key", "b"], "api_key", ("a*", "b")),
        (["--any-model"], "any_model", True),
        (["--no-reload"], "reload", False),
        (["--log-level", "debug"], "log_level", "debug"),
        (["one.yaml", "two"], "paths", ("one.yaml", "two")),
    ],
)
def test_a_flag_sets_its_field(words: list[str], name: str, value: Any) -> None:
    assert getattr(given(*words), name) == value


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("MOCK_SERVER_PORT", "9000", "port", 9000),
        ("MOCK_SERVER_SEED", "3", "seed", 3),
        ("MOCK_SERVER_TIME_SCALE", "0", "time_scale", 0.0),
        ("MOCK_SERVER_API_KEY", "a*, b", "api_key", ("a*", "b")),
        ("MOCK_SERVER_RELOAD", "yes", "reload", True),
        ("MOCK_SERVER_ANY_MODEL", "0", "any_model", False),
        ("MOCK_SERVER_PATHS", "x.yaml,y", "paths", ("x.yaml", "y")),
        ("MOCK_SERVER_PROFILE", "", "profile", "octen"),
    ],
)
def test_a_variable_sets_its_field(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: Any
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(given(), name) == value


def test_a_flag_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCK_SERVER_PORT", "9000")
    monkeypatch.setenv("MOCK_SERVER_RELOAD", "1")
    assert given("--port", "9001", "--no-reload").port == 9001
    assert given("--no-reload").reload is False


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--port", "x"], "--port: 'x' is not a valid value: expected a number"),
        (["--port", "70000"], "--port: '70000' is not a valid value: a port is 0 to 65535"),
        (["--time-scale", "-1"], "--time-scale: '-1' is not a valid value: a time scale is 0 to 1000"),
        (
            ["--profile", "acme!"],
            "--profile: 'acme!' is not a valid value: expected the name of a profile or a .yaml file",
        ),
        (["--unmatched", "maybe"], "--unmatched: 'maybe' is not a valid value: choose from generate, error"),
    ],
)
def test_a_wrong_flag_says_what_is_allowed(words: list[str], line: str) -> None:
    with pytest.raises(SettingError) as caught:
        given(*words)
    assert str(caught.value) == line


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCK_SERVER_RELOAD", "perhaps")
    with pytest.raises(SettingError, match=r"^MOCK_SERVER_RELOAD: 'perhaps' is not a valid value: expected one of 1,"):
        given()


def test_every_setting_has_its_row_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "cli.md").read_text()
    for row in settings.rows():
        assert f"`{row.variable}`" in page


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("MOCK_SERVER_PROFIL", "MOCK_SERVER_PROFILE"),
        ("MOCK_SERVER_TIMESCALE", "MOCK_SERVER_TIME_SCALE"),
        ("MOCKSERVER_PORT", "MOCK_SERVER_PORT"),
        ("MOCK_SEVRER_HOST", "MOCK_SERVER_HOST"),
        ("MOCK_SERVER_UNMACTHED", "MOCK_SERVER_UNMATCHED"),
    ],
)
def test_a_variable_within_two_letters_of_one_of_ours_is_told(name: str, near: str) -> None:
    assert misspelt({name: "x", "PATH": "/bin", near: "y"}) == [(name, near)]


@pytest.mark.parametrize(
    "name",
    [
        "MOCK_SERVER_SERVICE_HOST",
        "MOCK_SERVER_SERVICE_PORT",
        "MOCK_SERVER_SERVICE_PORT_HTTP",
        "MOCK_SERVER_PORT_8787_TCP",
        "MOCK_SERVER_PORT_8787_TCP_ADDR",
        "MOCK_SERVER_PORT_8787_TCP_PORT",
        "MOCK_SERVER_PORT_8787_TCP_PROTO",
        "MOCK_SERVER_IMAGE",
        "MOCK_SERVER_OF_MY_OWN",
        "MOCK_SERVER_PORT",
    ],
)
def test_what_kubernetes_sets_and_what_is_far_from_ours_is_passed_over(name: str) -> None:
    assert misspelt({name: "10.0.171.239"}) == []
