"""The index only ever leaves out what cannot match: with it and without, the same scenario answers."""

import json
from random import Random
from typing import Any

import pytest

from mock_server.engine.choose import Choice, Lookup, choose
from mock_server.engine.library import CompiledScenario, Index, Library
from mock_server.engine.session import Cursors
from mock_server.protocol.request import parse
from mock_server.scenario.load import build
from mock_server.scenario.model import Scenario
from mock_server.scenario.profiles import load_profile
from mock_server.scenario.timing import PRESETS

WORDS = ("weather", "in", "Paris", "order", "66", "please", "STRASSE", "straße", "ΟΔΟΣ", "a  b", "tell me")
WORDS = (
    *WORDS,
    "caf\u00e9",
    "cafe\u0301",
    "cafe",
    "no\u00a0break",
    "no break",
    "\u212b",
    "\uc5bc",
    "\u110b\u1165\u11af",
)
PROFILE = load_profile("anthropic")


class Everything(Index):
    """No index at all."""

    def candidates(self, asked: Lookup) -> Any:
        return self.unsure


def conditions(rng: Random) -> dict[str, Any]:
    def text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 3)))

    subjects: dict[str, Any] = {
        "prompt": lambda: rng.choice(
            [
                text(),
                [text(), text()],
                {"contains": text()},
                {"contains": text(), "ignore_case": True},
                {"equals": text()},
                {"regex": text() + r" ?\d*"},
                {"glob": f"*{text()}*"},
                {"in": [text(), text()]},
            ]
        ),
        "model": lambda: rng.choice(["claude-*", "gpt-*", "*opus*"]),
        "tools": lambda: rng.choice(["get_*", "search"]),
        "stream": lambda: rng.random() < 0.5,
        "system": lambda: rng.choice(["kind", {"exists": False}]),
        "tool_result": lambda: rng.choice([True, False, {"of": "get_*"}]),
        "last_message": lambda: rng.choice([text(), [text(), text()], {"contains": text()}, {"equals": text()}]),
        "header": lambda: {
            rng.choice(["x-user", "x-team"]): rng.choice(["ann", "bob", ["ann", "b?b"], {"exists": False}])
        },
        "body": lambda: {
            rng.choice(["metadata.user_id", "messages[*].role"]): rng.choice(["ann", "user", 1, ["ann", "bob"]])
        },
    }
    chosen = {name: subjects[name]() for name in rng.sample(sorted(subjects), rng.randint(1, 2))}
    if rng.random() < 0.2:
        return {rng.choice(["any", "all"]): [chosen, conditions(rng)]}
    return {"not": chosen} if rng.random() < 0.1 else chosen


def request(rng: Random) -> bytes:
    human = [" ".join(rng.choices(WORDS, k=rng.randint(1, 6))) for _ in range(rng.randint(1, 3))]
    messages: list[dict[str, Any]] = []
    for text in human:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]
    messages.pop()
    if rng.random() < 0.15:
        call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": rng.choice(WORDS)}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    body: dict[str, Any] = {"model": rng.choice(["claude-opus-4-8", "gpt-5"]), "max_tokens": 9, "messages": messages}
    if rng.random() < 0.5:
        body["tools"] = [{"name": "get_weather", "input_schema": {}}]
    if rng.random() < 0.5:
        body["metadata"] = {"user_id": rng.choice(["ann", "bob"])}
    if rng.random() < 0.5:
        body |= {"stream": True, "system": "Be kind."}
    return json.dumps(body).encode()


def texts(rng: Random, words: int) -> list[str]:
    """Many texts that share words and parts of words with one another."""
    syllables = ("re", "port", "num", "ber", "a", "1", "22", "weather", "of")
    return [" ".join("".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(words)) for _ in range(300)]


@pytest.mark.parametrize("words", [1, 2, 3, 5])
@pytest.mark.parametrize("subject", ["prompt", "last_message"])
def test_of_many_alike_the_first_that_stands_in_the_text_answers(subject: str, words: int) -> None:
    rng = Random(words)
    wanted = texts(rng, words)
    built = [build({"name": f"s{at}", "when": {subject: text}, "reply": "x"}) for at, text in enumerate(wanted)]
    library = Library([CompiledScenario(one, PROFILE, PRESETS["instant"]) for one in built])
    for length in (1, 10, 100):
        for _ in range(20):
            said = " ".join(rng.choices([*wanted, *texts(rng, 1)], k=length))
            body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": said}]}
            found = choose(library, Lookup(parse(json.dumps(body).encode()), {}, "k", Cursors()))
            first = next((f"s{at}" for at, text in enumerate(wanted) if text in said), None)
            assert (found.scenario.name if isinstance(found, Choice) else None) == first


# openings, of which some overlap themselves: "a a " stands twice in "a a a 7 b", and only the second goes on
OPENINGS = {
    "one": ["look at the report"],
    "several": ["look at the", "what of", "tell me of the number"],
    "one begins as another": ["look at", "look at the", "look at look at"],
    "itself twice": ["a a"],
    "a piece of itself": ["ab cab"],
    "too many": [f"of the {at} kind" for at in range(9)],
    "too long": ["long " * 60 + "one"],
    "none": [""],
}


@pytest.mark.parametrize("openings", OPENINGS.values(), ids=OPENINGS)
def test_of_many_that_begin_alike_the_first_that_stands_in_the_prompt_answers(openings: list[str]) -> None:
    rng = Random(str(openings))
    wanted = [f"{rng.choice(openings)} {rng.choice(['', 'n', '^', '-]'])}{at} and so on".strip() for at in range(60)]
    built = [build({"name": f"s{at}", "when": {"prompt": text}, "reply": "x"}) for at, text in enumerate(wanted)]
    library = Library([CompiledScenario(one, PROFILE, PRESETS["instant"]) for one in built])
    pieces = [*wanted, *openings, "7", "a", "and so on", "x", *(" ".join(one.split()[1:]) for one in wanted)]
    answered = 0
    for length in (1, 2, 3, 30):
        for _ in range(60):
            said = rng.choice([" ", "  ", "\n"]).join(rng.choices(pieces, k=length)).strip() or "x"
            body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": said}]}
            found = choose(library, Lookup(parse(json.dumps(body).encode()), {}, "k", Cursors()))
            folded = " ".join(said.split())
            first = next((f"s{at}" for at, text in enumerate(wanted) if text in folded), None)
            assert (found.scenario.name if isinstance(found, Choice) else None) == first
            answered += first is not None
    assert answered > 20


def test_an_opening_that_begins_within_itself_is_found_there() -> None:
    built = [build({"name": f"s{at}", "when": {"prompt": f"a a {at} b"}, "reply": "x"}) for at in range(30)]
    library = Library([CompiledScenario(one, PROFILE, PRESETS["instant"]) for one in built])
    body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "a a a 7 b"}]}
    found = choose(library, Lookup(parse(json.dumps(body).encode()), {}, "k", Cursors()))
    assert isinstance(found, Choice)
    assert found.scenario.name == "s7"


@pytest.mark.parametrize("seed", range(25))
def test_the_same_scenario_answers_with_and_without(seed: int) -> None:
    rng = Random(seed)
    scenarios: list[Scenario] = []
    for at in range(40):
        anchor = {"anchor": "conversation"} if rng.random() < 0.3 else {}
        scenarios.append(build({"name": f"s{at}", "when": conditions(rng), "reply": "x", "at_end": "repeat", **anchor}))
    library = Library([CompiledScenario(one, PROFILE, PRESETS["instant"]) for one in scenarios])
    plain = Library([CompiledScenario(one, PROFILE, PRESETS["instant"]) for one in scenarios])
    plain.index = Everything(plain.scenarios)

    matched = 0
    for _ in range(60):
        headers = {} if rng.random() < 0.3 else {"x-user": rng.choice(["ann", "bob"])}
        asked = Lookup(parse(request(rng)), headers, "k", Cursors())
        found, wanted = choose(library, asked), choose(plain, asked)
        assert isinstance(found, Choice) is isinstance(wanted, Choice)
        if isinstance(found, Choice) and isinstance(wanted, Choice):
            matched += 1
            assert found.scenario.name == wanted.scenario.name
    assert matched


def answers(rng: Random) -> dict[str, Any]:
    """What a scenario answers, in one of the ways that its place in a script is found."""
    ways: list[dict[str, Any]] = [
        {"reply": "x"},
        {"turns": ["x", "y"]},
        {"cases": [{"when": {"prompt": rng.choice(WORDS)}, "reply": "x"}, {"when": {"attempt": 2}, "reply": "y"}]},
        {"attempts": [{"error": "overloaded_error"}, "x"]},
        {"reply": "x", "times": 2},
        {"reply": "x", "anchor": "session"},
        {"reply": "x", "anchor": "conversation"},
    ]
    chosen = rng.choice([ways[0], *ways])
    return {**chosen, **({"at_end": rng.choice(["repeat", "loop"])} if rng.random() < 0.5 else {})}


class Side:
    """A library of these scenarios, with what was counted, and what is known of all but the messages of requests."""

    def __init__(self, written: list[dict[str, Any]], *, is_plain: bool) -> None:
        self.scenarios = [build(one) for one in written]
        self.library = Library([CompiledScenario(one, PROFILE, PRESETS["instant"]) for one in self.scenarios])
        self.cursors = Cursors()
        self.steady: dict[Any, dict[Any, Any]] = {}
        if is_plain:
            self.library.index = Everything(self.library.scenarios)
            for one in self.scenarios:
                vars(one)["opening"] = None  # each is asked where its script stands

    def asked(self, body: dict[str, Any], headers: dict[str, str]) -> Lookup:
        came = parse(json.dumps(body).encode())
        rest = json.dumps({**body, "messages": None})
        vars(came)["steady"] = self.steady.setdefault(rest, {})
        return Lookup(came, headers, "k", self.cursors)

    def answer(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[Any, ...] | None:
        """Which scenario answers a request, and where its script stands; all of that is counted."""
        asked = self.asked(body, headers)
        found = choose(self.library, asked)
        if not isinstance(found, Choice):
            return None
        self.cursors.commit("k", found, asked.request)
        answered = found.answer.reply, found.case is not None, found.begins, asked.were_counts_read
        return found.scenario.name, found.turn, found.attempt, found.attempts, found.anchor, *answered


@pytest.mark.parametrize("seed", range(25))
def test_every_short_cut_comes_to_what_the_long_way_does(seed: int) -> None:
    """The index, what it knows to hold, lanes that are kept, and first answers that are given at once: without them,
    with every scenario asked, the same one answers, at the same place in its script."""
    rng = Random(seed)
    bare = [{"prompt": word} for word in WORDS]
    written: list[dict[str, Any]] = [
        {"name": f"s{at}", "when": rng.choice([conditions(rng), rng.choice(bare)]), **answers(rng)} for at in range(30)
    ]
    written.append({"name": "last", **answers(rng), **({"when": "named"} if rng.random() < 0.5 else {})})
    short, plain = Side(written, is_plain=False), Side(written, is_plain=True)
    body: dict[str, Any] = json.loads(request(rng))
    answered = 0
    for at in range(150):
        body = json.loads(request(rng)) if at % 3 else {**body, "messages": json.loads(request(rng))["messages"]}
        said = body["messages"][-1]
        if isinstance(said["content"], list):
            said = {"content": ""}  # results stay as they are
        if rng.random() < 0.2:
            said["content"] = said["content"].upper().replace(" ", rng.choice([" ", "  ", "\n"]))
        if rng.random() < 0.1:
            said["content"] += f" [[scenario:s{rng.randrange(30)}]]"
        if rng.random() < 0.1:
            body["system"] = f"[[scenario:s{rng.randrange(30)}]]"
        if rng.random() < 0.2:
            said["content"] = [{"type": "text", "text": text} for text in (said["content"], "please")]
        headers = rng.choice([{}, {}, {"x-user": "ann"}, {"x-stainless-retry-count": "1"}, {"x-mock-scenario": "s2"}])
        for _ in range(rng.choice([1, 1, 3])):
            found = short.answer(body, headers)
            assert found == plain.answer(body, headers), body
            answered += found is not None
        known = list(short.library.index.candidates(asked := short.asked(body, headers)))
        assert all(one.scenario.when is None or one.scenario.when.holds(asked.newest) for one in known if one.holds)
    assert answered > 100


def test_what_a_bare_text_asks_is_known_and_the_rest_is_asked() -> None:
    whens: list[Any] = [
        {"prompt": "a  B"},
        {"prompt": ["a b", "nothing"]},
        {"prompt": "b", "model": "claude-*"},
        {"model": "claude-*"},
        {"prompt": {"contains": "b"}},
        {"prompt": "b", "header": {"x-user": "ann"}},
        {"all": [{"prompt": "a"}, {"prompt": "b"}]},
        {"any": [{"prompt": "a"}, {"prompt": "c"}]},
        {"not": {"prompt": "c"}},
    ]
    index = Side([{"name": f"s{at}", "when": when, "reply": "x"} for at, when in enumerate(whens)], is_plain=False)

    def known(said: str) -> list[str]:
        body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": said}]}
        return [one.scenario.name for one in index.library.index.candidates(index.asked(body, {})) if one.holds]

    assert known("say A b") == ["s0", "s1", "s2", "s3"]
    assert known("b\na") == ["s2", "s3"]
    assert known("say A b \u00e9") == []  # other letters fold by those around them: each is asked


def test_two_libraries_that_one_client_asks_in_turn_each_answer_for_themselves() -> None:
    sides = [Side([{"name": name, "when": {"model": "claude-*"}, "reply": "x"}], is_plain=False) for name in "ab"]
    sides[1].steady = sides[0].steady
    body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    answered = [side.answer(body, {}) for _ in range(2) for side in sides]
    assert [found and found[0] for found in answered] == ["a", "b", "a", "b"]


NAMED = "go on [[scenario:other]]"


@pytest.mark.parametrize(
    ("more", "answered"),
    [
        ({"messages": [{"role": "user", "content": NAMED}]}, "other"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": NAMED}]}]}, "other"),
        ({"system": NAMED}, "other"),
        ({"system": [{"type": "text", "text": NAMED}]}, "other"),
        ({"metadata": {"user_id": NAMED}}, "every"),
        ({"messages": [{"role": "user", "content": "go on [scenario:other]"}]}, "every"),
        (
            {
                "messages": [
                    {"role": "user", "content": NAMED},
                    {"role": "assistant", "content": "ok"},
                    {"role": "user", "content": "hi"},
                ]
            },
            "other",
        ),
    ],
)
def test_a_name_is_found_wherever_it_may_stand(more: dict[str, Any], answered: str) -> None:
    side = Side(
        [{"name": "every", "reply": "x", "at_end": "repeat"}, {"name": "other", "turns": ["x", "y"]}], is_plain=False
    )
    body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **more}
    found = side.answer(body, {})
    assert found is not None
    assert found[0] == answered


def test_a_long_system_prompt_is_not_kept_to_know_requests_by() -> None:
    scenario = build({"name": "a", "when": {"system": "tidy"}, "reply": "Tidy!"}, "test")
    index = Index([scenario])

    def asked(system: str) -> Lookup:
        said = {"model": "m", "max_tokens": 9, "system": system, "messages": [{"role": "user", "content": "Hi"}]}
        return Lookup(parse(json.dumps(said).encode(), {}), {}, "", Cursors())

    for length, kept in ((100, 1), (200_000, 1), (300, 2)):
        assert [one.scenario for one in index.candidates(asked("be tidy " + "x" * length))] == [scenario]
        assert len(index._lanes) == kept
