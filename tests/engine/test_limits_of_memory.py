"""Whatever a server remembers has a limit, and stops there: each memory is filled far beyond it, and counted.

Limits are made small where the real one would take long to reach; what is tested is that there is one.
"""

import json
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from mock_server.engine import batches, cache, files, gates, journal, limits, memory, session
from mock_server.engine import threads as conversations
from mock_server.engine.batches import Batch, Batches, Item, Sender
from mock_server.engine.cache import PromptCache, prefixed
from mock_server.engine.engine import Engine
from mock_server.engine.exchange import Exchange
from mock_server.engine.files import File, Files
from mock_server.engine.gates import Gates
from mock_server.engine.journal import Journal, Metrics
from mock_server.engine.limits import RateLimiter
from mock_server.engine.memory import Memory
from mock_server.engine.session import Counters
from mock_server.engine.threads import Threads
from mock_server.protocol import beginnings
from mock_server.protocol.errors import ApiError
from mock_server.protocol.plan import NOTHING
from mock_server.protocol.profile import Limits
from mock_server.protocol.request import HttpRequest, InMemory, MessagesRequest, Upload
from mock_server.protocol.tokens import TokenCounter
from mock_server.scenario.answer import Answer
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

FEW = 20  # the limit, where it can be set
MANY = 10 * FEW
OCTEN = load_profile("octen")
HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}


class Filled(NamedTuple):
    """One memory: what puts the n-th thing into it, and how much is in it."""

    put: Callable[[int], object]
    held: Callable[[], int]
    most: int = FEW


def post(body: Mapping[str, Any], path: str = "/v1/messages", **headers: str) -> HttpRequest:
    said = {"messages": [{"role": "user", "content": "Hi"}]}
    full = {"model": "claude-opus-4-8", "max_tokens": 9, **body, **({} if "messages" in body else said)}
    return HttpRequest("POST", path, {**HEADERS, **headers}, json.dumps(full).encode())


def serving(**settings: Any) -> Engine:
    return Engine(Settings(time_scale=0, **settings), OCTEN)


def counters() -> Filled:
    made: Counters[int] = Counters()
    return Filled(made.add, lambda: len(made))


def sessions() -> Filled:
    made = serving()
    return Filled(
        lambda n: made.handle(post({}, **{"x-mock-session": f"s{n}"})), lambda: len(tuple(made.sessions.all()))
    )


def claims() -> Filled:
    made = serving()
    return Filled(lambda n: made.sessions.claim(f"k{n}", "one"), lambda: len(made.sessions.keys_of("one")))


def closed_keys() -> Filled:
    made = serving().sessions
    return Filled(lambda n: made.close(f"k{n}"), lambda: sum(made.is_closed(f"k{n}") for n in range(MANY)))


def prompt_cache() -> Filled:
    made, model = PromptCache(), OCTEN.models[0]

    def put(n: int) -> None:
        block = {"type": "text", "text": f"{n} " * 9_000, "cache_control": {"type": "ephemeral"}}
        steps = prefixed(
            MessagesRequest({"model": model.id, "messages": [{"role": "user", "content": [block]}]}),
            model,
            TokenCounter(),
        )
        made.commit(made.admit(steps, 20_000, 1, 0), 0, 0)

    return Filled(put, lambda: len(made._entries))


def remembered_prompts() -> Filled:
    made, steps = PromptCache(), prompt_of(1)
    return Filled(lambda n: made.remember(f"msg_{n}", steps), lambda: len(made._prompts))


def steps_of_remembered_prompts() -> Filled:
    made, steps = PromptCache(), prompt_of(5)
    return Filled(
        lambda n: made.remember(f"msg_{n}", steps), lambda: sum(len(one.steps) for one in made._prompts.values())
    )


def prompt_of(blocks: int) -> Any:
    content = [{"type": "text", "text": "Hi"}] * blocks
    request = MessagesRequest({"model": "claude-opus-4-8", "messages": [{"role": "user", "content": content}]})
    made = prefixed(request, OCTEN.models[0], TokenCounter())
    assert len(made.steps) >= blocks
    return made


def threads() -> Filled:
    made = Threads()
    body = {"thread": {"type": "create"}, "messages": [{"role": "user", "content": "Hi"}]}
    return Filled(lambda n: made.keep(body, {"id": f"msg_{n}", "content": []}, 100), lambda: len(made._held))


def rate_limits() -> Filled:
    made, some = RateLimiter(), Limits(requests=5)
    return Filled(lambda n: made.of(f"model-{n}", some, 0), lambda: len(made._by_model))


def held_batches() -> Filled:
    made = Batches()

    def put(n: int) -> None:
        made.add(Batch(f"b{n}", [Item("a", b"{}")], Sender("k", {}), now=n, unix=n, seconds=0.5), n)

    return Filled(put, lambda: len(made))


def held_files() -> Filled:
    made = Files()

    def put(n: int) -> None:
        try:
            made.add(File(f"f{n}", Upload("a", "text/plain", InMemory(b"a")), now=n, unix=n), n, 1_000_000)
        except ApiError:
            assert len(made) == FEW

    return Filled(put, lambda: len(made))


def expired_files() -> Filled:
    made = Files()

    def put(n: int) -> None:
        made.add(File(f"f{n}", Upload("a", "text/plain", InMemory(b"a")), now=n, unix=n, lives=1), n, 1_000_000)
        made.newest_first(n + 2)

    return Filled(put, lambda: len(made._expired))


def gates_by_name() -> Filled:
    made = Gates()
    return Filled(lambda n: made.shut(f"g{n}"), lambda: len(made._gates))


def played_answers() -> Filled:
    made = Journal()
    exchange = Exchange(NOTHING, scenario="a", turn=1, understood=True)
    return Filled(lambda n: made.pass_over(exchange._replace(answer=Answer())), lambda: len(made.hits))


def answers_of_scenarios_that_were_reloaded() -> Filled:
    """However often files change: what was played of them is one count a turn."""
    made = serving()

    def put(n: int) -> None:
        made.load(loads(f"name: a\nreply: turn {n}"))
        made.handle(post({}))

    return Filled(put, lambda: len(made.sessions.default.journal.hits), 2)


def entries() -> Filled:
    made = serving(journal_entries=FEW)
    return Filled(lambda n: made.handle(post({})), lambda: len(made.sessions.default.journal))


def bytes_of_entries() -> Filled:
    made = serving(journal_bytes=100_000)
    body = {"metadata": {"user_id": "a"}, "system": "x" * 5_000}
    return Filled(lambda n: made.handle(post(body)), lambda: made.journals.bytes, 100_000)


def headers_without_keys() -> Filled:
    made = serving()
    kept: list[HttpRequest] = []

    def put(n: int) -> None:
        kept.append(post({}))
        made.handle(kept[-1])

    return Filled(put, lambda: len(made.journals._headers), journal._HEADERS)


def labels_of_metrics() -> Filled:
    made = Metrics()
    return Filled(lambda n: made.add((f"s{n}", 200, "completed"), None), lambda: len(made._requests), FEW + 1)


def faults_of_functions() -> Filled:
    made = Journal()
    return Filled(lambda n: made.failed(ValueError(str(n))), lambda: len(made.faults))


def requests_seen() -> Filled:
    made = Memory()
    return Filled(lambda n: made.has_seen(b"%d" % n), lambda: len(made._seen) + len(made._seen_before), 2 * FEW + 1)


def token_counts() -> Filled:
    made = TokenCounter(budget=10_000)
    return Filled(lambda n: made.count(f"text {n}"), lambda: made._held, 10_000)


def beginnings_of_conversations() -> Filled:
    """Many conversations, each of a system prompt of its own and sent three times."""
    made = serving()
    made.in_force.beginnings.budget = 50_000

    def put(n: int) -> None:
        for turns in (1, 3, 5):
            messages = [{"role": ("user", "assistant")[at % 2], "content": f"{at} " * 300} for at in range(turns)]
            made.handle(post({"system": f"prompt {n}", "messages": messages}))

    return Filled(put, lambda: made.in_force.beginnings.held, 50_000)


def keys_of_beginnings() -> Filled:
    made = serving()
    kept = made.in_force.beginnings
    return Filled(lambda n: made.handle(post({"system": f"prompt {n}"})), lambda: len(kept._buckets))


MEMORIES: Mapping[Callable[[], Filled], tuple[tuple[ModuleType, str], ...]] = {
    counters: ((session, "MAX_COUNTERS"),),
    sessions: ((session, "MAX_SESSIONS"),),
    claims: ((session, "MAX_COUNTERS"),),
    closed_keys: ((session, "MAX_COUNTERS"),),
    prompt_cache: ((cache, "MOST_ENTRIES"),),
    remembered_prompts: ((cache, "MOST_REMEMBERED"),),
    steps_of_remembered_prompts: ((cache, "MOST_STEPS"),),
    threads: ((conversations, "MOST_THREADS"),),
    rate_limits: ((limits, "MOST_MODELS"),),
    held_batches: ((batches, "MOST_BATCHES"),),
    held_files: ((files, "MOST_FILES"),),
    expired_files: ((files, "MOST_FILES"),),
    gates_by_name: ((gates, "MOST_GATES"),),
    played_answers: ((journal, "MOST_HITS"),),
    answers_of_scenarios_that_were_reloaded: (),
    entries: (),
    bytes_of_entries: (),
    headers_without_keys: (),
    labels_of_metrics: ((journal, "MOST_LABELS"),),
    faults_of_functions: ((journal, "MAX_FAULTS"),),
    requests_seen: ((memory, "MOST_KEPT"),),
    token_counts: (),
    beginnings_of_conversations: (),
    keys_of_beginnings: ((beginnings, "_KEYS"),),
}


@pytest.mark.parametrize("filled", MEMORIES, ids=lambda one: one.__name__)
def test_a_memory_that_is_full_stays_so(filled: Callable[[], Filled], monkeypatch: pytest.MonkeyPatch) -> None:
    for module, limit in MEMORIES[filled]:
        monkeypatch.setattr(module, limit, FEW)
    made = filled()
    most = 0
    for n in range(MANY):
        made.put(n)
        most = max(most, made.held())
        assert most <= made.most
    assert most > made.most // 2, "it was never full, so this shows nothing"


def test_long_keys_are_counted_by_what_stands_for_them() -> None:
    engine = serving(seed=1)
    engine.load(loads("name: a\nanchor: session\nturns: [{reply: first}, {reply: second}]\n"))
    long, other = "k" * 50_000, "k" * 50_001

    told = [engine.handle(post({}, **{"x-api-key": key})).turn for key in (long, other, long)]

    assert told == [1, 1, 1]  # the same request again has the same turn
    cursors = engine.sessions.default.cursors
    assert max(len(key[0]) for counted in (cursors.sent, cursors.seen, cursors.order) for key in counted) < 100


def test_what_was_played_is_counted_on_over_reloads() -> None:
    made = serving()
    for n in range(5):
        made.load(loads(f"name: a\nturns:\n  - reply: turn {n}\n  - reply: more"))
        made.handle(post({}))
        made.handle(post({}))
    assert made.sessions.default.journal.played("a") == 10


def test_scenarios_beyond_the_labels_that_metrics_have_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MOST_LABELS", 2)
    made = Metrics()
    for name in ("a", "b", "c", "d", "a"):
        made.add((name, 200, "completed"), None)
    lines = [line for line in made.text({}).splitlines() if line.startswith("mock_server_requests_total{")]
    assert lines == [
        'mock_server_requests_total{scenario="(others)",status="200",outcome="completed"} 2',
        'mock_server_requests_total{scenario="a",status="200",outcome="completed"} 2',
        'mock_server_requests_total{scenario="b",status="200",outcome="completed"} 1',
    ]


def test_a_gate_that_holds_something_or_stands_open_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held:
        def passed(self) -> None:
            """Nothing waits for it."""

    monkeypatch.setattr(gates, "MOST_GATES", 3)
    made = Gates()
    made.release("open")
    assert not made.hold("held", Held())
    for n in range(10):
        made.shut(f"g{n}")
    assert {"open", "held"} < set(made._gates)
    assert made.hold("open", Held())
