"""`GET /v1/models` and `/v1/models/{id}`: what a profile offers, in the SDK's own types."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from anthropic.types import ModelInfo
from anthropic.types.beta import BetaModelInfo
from conformance.strict import problems

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.profile import Model
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

Make = Callable[..., Engine]
PROFILES = ("octen", "anthropic")
BETA = {"anthropic-beta": "server-side-fallback-2026-07-01"}


def get(engine: Engine, path: str = "/v1/models", query: str = "", headers: Mapping[str, str] | None = None) -> Entry:
    always = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    return engine.handle(HttpRequest("GET", path, {**always, **(headers or {})}, query=query))


def page(engine: Engine, query: str = "", **more: Any) -> dict[str, Any]:
    entry = get(engine, query=query, **more)
    assert entry.status == 200, entry.plan.body()
    found: dict[str, Any] = json.loads(entry.plan.body())
    return found


def ids(engine: Engine, query: str = "limit=1000") -> list[str]:
    return [one["id"] for one in page(engine, query)["data"]]


# -- the list ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("headers", [{}, BETA], ids=["stable", "beta"])
def test_every_model_is_of_the_sdks_type(engine: Make, profile: str, headers: dict[str, str]) -> None:
    kind = BetaModelInfo if headers else ModelInfo
    data = page(engine(profile=profile), "limit=1000&lifecycle[]=active&lifecycle[]=deprecated&lifecycle[]=retired",
                headers=headers)["data"]  # fmt: skip
    assert [problem for one in data for problem in problems(one, kind, one["id"])] == []
    assert len(data) == len(load_profile(profile).models)
    for one in data:  # every field that the type has is told, null where nothing is known
        assert set(one) == set(kind.model_fields)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_newest_model_comes_first(engine: Make, profile: str) -> None:
    dates = [one["created_at"] for one in page(engine(profile=profile), "limit=1000")["data"]]
    assert dates == sorted(dates, reverse=True)
    assert dates[0] > "2026"


def test_the_list_is_that_of_the_catalogue() -> None:
    for catalogue, count in (("2026-06", 15), ("2026-10", 28)):
        made = Engine(Settings(), load_profile("octen", catalogue))
        assert len(ids(made)) == count


@pytest.mark.parametrize("profile", PROFILES)
def test_a_list_is_walked_page_by_page_both_ways(engine: Make, profile: str) -> None:
    made = engine(profile=profile)
    everything = ids(made)
    assert page(made)["data"] == page(made, "limit=1000")["data"][:20]

    forth: list[str] = []
    found = page(made, "limit=7")
    while True:
        forth += [one["id"] for one in found["data"]]
        assert (found["first_id"], found["last_id"]) == (found["data"][0]["id"], found["data"][-1]["id"])
        if not found["has_more"]:
            break
        found = page(made, f"limit=7&after_id={found['last_id']}")
    back: list[str] = [everything[-1]]
    found = page(made, f"limit=7&before_id={everything[-1]}")
    while True:
        back = [one["id"] for one in found["data"]] + back
        if not found["has_more"]:
            break
        found = page(made, f"limit=7&before_id={found['first_id']}")

    assert forth == back == everything


def test_the_stages_of_life_are_asked_for_by_name(engine: Make) -> None:
    made = engine(profile="anthropic")
    deprecated = ids(made, "lifecycle[]=deprecated")
    assert sorted(deprecated) == ["claude-mythos-preview", "claude-sonnet-4-5-20250929"]
    assert ids(made, "lifecycle[]=retired") == []
    assert set(ids(made)) == {*deprecated, *ids(made, "limit=1000&lifecycle[]=active")}


RETIRED = """
extends: anthropic
models:
  - {id: claude-old, like: claude-haiku-4-5-20251001, display_name: Old, created: "2024-01-01", lifecycle: retired,
     deprecated: "2025-01-01", retires: "2025-07-01"}
  - {id: claude-own, like: claude-old, created: "2026-11-20"}
"""


def test_a_profile_of_ones_own_says_what_its_models_are(tmp_path: Any) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(RETIRED)
    made = Engine(Settings(), load_profile(str(file)))

    assert ids(made)[0] == "claude-own"
    assert "claude-old" not in ids(made)
    (old,) = page(made, "lifecycle[]=retired")["data"]
    dates = ("created_at", "deprecated_at", "retires_at")
    assert [old[name][:10] for name in dates] == ["2024-01-01", "2025-01-01", "2025-07-01"]
    own = json.loads(get(made, "/v1/models/claude-own").plan.body())
    assert (own["lifecycle"], own["deprecated_at"], own["retires_at"]) == ("active", None, None)
    assert own["capabilities"] == old["capabilities"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('models: [{id: a, like: claude-opus-5, created: "yesterday"}]', "expected a date such as"),
        ('models: [{id: a, like: claude-opus-5, retires: "2026-1-1"}]', "expected a date such as"),
        ("models: [{id: a, like: claude-opus-5, lacks: [speech]}]", "expected one of"),
        ("endpoints: {model: true}", "unknown endpoints 'model'"),
        ("endpoints: {models: maybe}", "expected true or false"),
    ],
)
def test_what_a_profile_cannot_say_is_told_with_its_place(tmp_path: Any, text: str, named: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"extends: anthropic\n{text}\n")
    with pytest.raises(ScenarioError, match=named) as caught:
        load_profile(str(file))
    assert "own.yaml:2:" in str(caught.value)


# -- one model --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "name", "id"),
    [
        ("anthropic", "claude-opus-4-8", "claude-opus-4-8"),
        ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("octen", "anthropic/claude-opus-4.8", "anthropic/claude-opus-4.8"),
        ("octen", "anthropic%2Fclaude-opus-4.8", "anthropic/claude-opus-4.8"),
        ("octen", "claude-opus-4-8", "anthropic/claude-opus-4.8"),
        ("octen", "openai/gpt-5.5", "openai/gpt-5.5"),
    ],
)
def test_a_model_is_found_by_any_of_its_names(engine: Make, profile: str, name: str, id: str) -> None:
    made = engine(profile=profile)
    told = json.loads(get(made, f"/v1/models/{name}").plan.body())
    assert told["id"] == id
    assert told in page(made, "limit=1000")["data"]


def test_a_model_says_what_it_can_do(engine: Make) -> None:
    made = engine(profile="anthropic")
    told = {one["id"]: one for one in page(made, "limit=1000", headers=BETA)["data"]}
    opus, haiku = told["claude-opus-4-8"], told["claude-haiku-4-5-20251001"]

    assert (opus["max_input_tokens"], opus["max_tokens"], opus["line"]) == (1_000_000, 128_000, "opus")
    assert opus["capabilities"]["thinking"]["types"]["enabled"] == {"supported": False}
    assert opus["capabilities"]["effort"]["xhigh"] == {"supported": True}
    assert haiku["capabilities"]["effort"]["supported"] is False
    assert haiku["capabilities"]["thinking"]["types"]["enabled"] == {"supported": True}
    assert haiku["capabilities"]["compaction"]["supported"] is False
    assert told["claude-fable-5"]["allowed_fallback_models"] == ["claude-opus-4-8"]


def test_of_a_model_without_rules_nothing_is_told_that_nobody_knows(engine: Make) -> None:
    told = json.loads(get(engine(), "/v1/models/openai/gpt-5.5").plan.body())
    assert told["created_at"] == "1970-01-01T00:00:00Z"
    assert [told[name] for name in ("capabilities", "max_tokens", "max_input_tokens", "line")] == [None] * 4


def test_any_model_is_there_where_any_is_accepted(engine: Make) -> None:
    assert json.loads(get(engine(any_model=True), "/v1/models/mine").plan.body())["display_name"] == "mine"


# -- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit: "),
        ("limit=1001", "limit: "),
        ("limit=x", "limit: "),
        ("after_id=claude-none", "after_id: "),
        ("before_id=claude-none", "before_id: "),
        ("lifecycle[]=alive", "lifecycle.0: "),
        ("&".join(["lifecycle[]=active"] * 4), "lifecycle: "),
        ("page=2", "page: "),
        ("order=asc&limit=3", "order: "),
    ],
)
def test_a_list_is_asked_for_in_the_apis_words(engine: Make, query: str, named: str) -> None:
    entry = get(engine(), query=query)
    assert (entry.status, entry.reply["error"]["type"]) == (400, "invalid_request_error")
    assert entry.reply["error"]["message"].startswith(named)


@pytest.mark.parametrize("name", ["claude-none", "..%2f..", "../messages", "%00", "%ff", "x" * 60_000, "a/b/c/"])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_model_that_is_not_there_is_a_404(engine: Make, profile: str, name: str) -> None:
    entry = get(engine(profile=profile), f"/v1/models/{name}")
    assert (entry.status, entry.reply["error"]["type"]) == (404, "not_found_error")
    assert len(entry.plan.body()) < 1000


def test_only_a_key_may_look_and_only_the_api_itself_asks_for_a_version(engine: Make) -> None:
    for profile, status in (("octen", 200), ("anthropic", 400)):
        assert engine(profile=profile).handle(HttpRequest("GET", "/v1/models", {"x-api-key": "k"})).status == status
        assert engine(profile=profile).handle(HttpRequest("GET", "/v1/models", {})).status == 401


def test_the_journal_notes_what_was_asked_and_checks_pass_over_it(engine: Make) -> None:
    made = engine()
    page(made, "limit=3")
    entry = made.sessions.first.journal.last
    assert (entry.note, entry.unmatched, made.sessions.first.journal.unmatched) == ("models", False, 0)
    assert str(entry) == "GET /v1/models?limit=3 (0 bytes) -> 200 models, open"


SWITCH = "start the server with --any-model to accept every name"
# profile, the model that is asked for, its own words, what helps, and the cure
UNSERVED = [
    (
        "octen",
        "claude-sonnet-4-5",
        "Model or resource not found",
        "profile octen serves no model 'claude-sonnet-4-5'; nearest: anthropic/claude-sonnet-4.6, "
        "anthropic/claude-sonnet-5, anthropic/claude-opus-4.8; profile anthropic has it",
        "start the server with --profile anthropic, or with --any-model to accept every name",
    ),
    (
        "octen",
        "gpt-5.5",
        "Model or resource not found",
        "profile octen serves no model 'gpt-5.5'; nearest: openai/gpt-5.5, openai/gpt-5.4, openai/gpt-5.5-pro",
        SWITCH,
    ),
    ("octen", "a\nb", "Model or resource not found", "profile octen serves no model 'a b'", SWITCH),
    (
        "anthropic",
        "openai/gpt-5.5",
        "model: openai/gpt-5.5",
        "profile anthropic serves no model 'openai/gpt-5.5'; profile octen has it",
        "start the server with --profile octen, or with --any-model to accept every name",
    ),
]


@pytest.mark.parametrize(("profile", "model", "own", "told", "cure"), UNSERVED, ids=[one[1] for one in UNSERVED])
@pytest.mark.parametrize("door", ["/v1/messages", "/v1/messages/count_tokens", "/v1/models"])
def test_a_model_that_is_not_served_is_named_with_what_is_near(
    profile: str, model: str, own: str, told: str, cure: str, door: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = Engine(Settings(profile=profile), load_profile(profile))
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    with caplog.at_level("WARNING", logger="mock_server"):
        if door == "/v1/models":
            entry = get(made, f"{door}/{quote(model, safe='')}")
        else:
            body = asked if "count" in door else {**asked, "max_tokens": 9}
            headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
            entry = made.handle(HttpRequest("POST", door, headers, json.dumps(body).encode()))
    names_it = profile == "anthropic"  # as it was recorded: nothing is put behind it
    assert (entry.status, json.loads(entry.plan.body())["error"]["message"]) == (
        404,
        own if names_it else f"{own}: {told}",
    )
    assert entry.note == f"{own}: {told}"
    assert dict(entry.plan.headers)["x-mock-hint"] == f"{told}; {cure}"
    assert [one.getMessage() for one in caplog.records] == [f"a model that nobody serves: {told}"]


def test_a_model_that_is_let_pass_is_named_too(engine: Any, ask: Any) -> None:
    entry = ask(engine("name: a\nreply: Hi", validation="warn"), model="claude-sonet-5")
    assert entry.status == 200
    assert "serves no model 'claude-sonet-5'; nearest: anthropic/claude-sonnet-5" in entry.headers["x-mock-warning"]


def test_of_a_catalogue_of_many_thousand_models_the_near_ones_are_told_and_few_are_compared(
    ask: Any, compared: list[int]
) -> None:
    known = load_profile("octen")
    many = (Model(id=f"{maker}/model-{at}-large") for maker in ("ours", "theirs") for at in range(4_000))
    made = Engine(Settings(), replace(known, models=(*known.models, *many)))
    entry = ask(made, model="ours/model-1234-lrage")

    assert "; nearest: ours/model-1234-large, " in json.loads(entry.plan.body())["error"]["message"]
    assert compared == [5_000 // len("model-1234-lrage")]


@pytest.mark.parametrize("door", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_model_of_a_megabyte_is_told_back_by_its_beginning(door: str) -> None:
    made = Engine(Settings(profile="anthropic"), load_profile("anthropic"))
    asked = {"model": "x" * 1_000_000, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}

    entry = made.handle(HttpRequest("POST", door, headers, json.dumps(asked).encode()))

    assert (entry.status, entry.plan.body().count(b"x" * 190)) == (404, 1)
    assert len(entry.plan.body()) < 400
