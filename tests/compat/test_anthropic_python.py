"""The official Python SDK against the server: whichever version is installed here. `api/matrix.py` runs the older ones."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Literal

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool, beta_tool
from pydantic import BaseModel

from mock_server import MockServer
from mock_server.scenario.load import library
from mock_server.settings import Settings

GENERATION = int(anthropic.__version__.split(".")[0])
MODEL = "claude-opus-4-8"
TEXT = "One two three four."
Surface = Callable[[Any], Any]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def ask(scenario: str, **more: Any) -> dict[str, Any]:
    """The arguments of a call that this scenario answers."""
    prompt = f"[[scenario:{scenario}]] Go on, please."
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": prompt}], **more}


def answered(call: dict[str, Any], content: Any, *results: dict[str, Any]) -> dict[str, Any]:
    """The call that goes on after a reply: its content sent back as the SDK gave it, then the results, if any."""
    user = [{"role": "user", "content": list(results)}] if results else []
    return {**call, "messages": [*call["messages"], {"role": "assistant", "content": content}, *user]}


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
SEARCH: Any = {"type": "web_search_20250305", "name": "web_search"}


def result(block: Any, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": block.id, "content": text}


def said(message: Any) -> Any:
    """A message as plain data, with its ids numbered: two replies of one script differ in their ids alone."""
    numbers: dict[str, str] = {}

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: plain(item, name) for name, item in value.items() if name != "parsed_output"}
        if isinstance(value, list):
            return [plain(item) for item in value]
        if key in ("id", "tool_use_id") and isinstance(value, str):
            kind = value.partition("_")[0]
            return numbers.setdefault(value, f"{kind} {len(numbers)}")
        return value

    data = plain(message.model_dump(mode="json"))
    if GENERATION == 0:  # its stream helper drops this counter
        data["usage"].pop("output_tokens_details", None)
    return data


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def run(loop: asyncio.AbstractEventLoop) -> Run:
    """Runs a coroutine to its end. All of them share a loop, so that they can share a client."""
    return loop.run_until_complete


@pytest.fixture(scope="session")
def connection(server: MockServer) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.url, api_key="sk-none", max_retries=0) as client:
        yield client


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key of the test's own, and so counters of its own."""
    return f"sk-{request.node.name}"


@pytest.fixture
def client(connection: Anthropic, key: str) -> Anthropic:
    return connection.with_options(api_key=key)


@pytest.fixture(scope="session")
def async_connection(server: MockServer, run: Run) -> Iterator[AsyncAnthropic]:
    client = AsyncAnthropic(base_url=server.url, api_key="sk-none", max_retries=0)
    yield client
    run(client.close())


@pytest.fixture
def async_client(async_connection: AsyncAnthropic, key: str) -> AsyncAnthropic:
    return async_connection.with_options(api_key=key)


@pytest.fixture(params=["messages", "beta.messages"])
def surface(request: pytest.FixtureRequest) -> Surface:
    """The two places of the SDK where messages are made."""
    return (lambda client: client.messages) if request.param == "messages" else (lambda client: client.beta.messages)


# -- one reply, all the ways to ask for it --------------------------------------------------------------------------

# scenario -> the types of its blocks, and how it ends
REPLIES = {
    "text": (["text"], "end_turn"),
    "texts": (["text", "text"], "end_turn"),
    "long": (["text"], "end_turn"),
    "thinking": (["thinking", "text"], "end_turn"),
    "redacted": (["redacted_thinking", "text"], "end_turn"),
    "tool": (["text", "tool_use"], "tool_use"),
    "parallel": (["tool_use", "tool_use", "tool_use"], "tool_use"),
    "thinking-tool": (["thinking", "tool_use"], "tool_use"),
    "web-search": (["text", "server_tool_use", "web_search_tool_result", "text"], "end_turn"),
    "failed-search": (["server_tool_use", "web_search_tool_result", "text"], "end_turn"),
    "citations": (["text", "text"], "end_turn"),
    "pause": (["text", "server_tool_use"], "pause_turn"),
    "refusal": ([], "refusal"),
    "late-refusal": (["text"], "refusal"),
    "full": (["text"], "model_context_window_exceeded"),
    "nothing": ([], "end_turn"),
    "counted": (["text"], "end_turn"),
    "forecast": (["text"], "end_turn"),
}
# Octen's search results have no `encrypted_content`; the SDKs read them all the same, and say this when they write them.
plays_search = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
every_reply = pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=plays_search if name == "web-search" else ()) for name in REPLIES]
)


@every_reply
def test_create_and_the_finished_stream_give_the_same_message(
    client: Anthropic, surface: Surface, scenario: str
) -> None:
    message = surface(client).create(**ask(scenario))
    with surface(client).stream(**ask(scenario)) as stream:
        streamed = stream.get_final_message()
    assert ([block.type for block in message.content], message.stop_reason) == REPLIES[scenario]
    assert said(streamed) == said(message)


@every_reply
def test_the_async_client_reads_what_the_sync_client_reads(
    client: Anthropic, async_client: AsyncAnthropic, run: Run, scenario: str
) -> None:
    async def both() -> tuple[Any, Any]:
        async with async_client.messages.stream(**ask(scenario)) as stream:
            return await async_client.messages.create(**ask(scenario)), await stream.get_final_message()

    expected = said(client.messages.create(**ask(scenario)))
    assert [said(message) for message in run(both())] == [expected, expected]


def test_a_message_has_the_fields_of_the_api(client: Anthropic, profile: str) -> None:
    message = client.messages.create(**ask("text"))
    assert message.id.startswith("msg_")
    assert (message.type, message.role, message.stop_sequence) == ("message", "assistant", None)
    assert message.model == ("anthropic/claude-opus-4.8" if profile == "octen" else MODEL)
    assert message.content[0].text == TEXT
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


def test_usage_set_by_hand_arrives_in_both_forms(client: Anthropic) -> None:
    with client.messages.stream(**ask("counted")) as stream:
        streamed = stream.get_final_message().usage
    for usage in (client.messages.create(**ask("counted")).usage, streamed):
        assert (usage.input_tokens, usage.output_tokens) == (1200, 34)
        assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (1000, 150)


def test_usage_counts_the_tokens_of_thoughts(client: Anthropic) -> None:
    usage = client.messages.create(**ask("thinking")).usage.to_dict()
    assert 0 < usage["output_tokens_details"]["thinking_tokens"] < usage["output_tokens"]


# -- streams --------------------------------------------------------------------------------------------------------


def wire_events(deltas: int) -> list[str]:
    """The events of one text block of so many deltas, as the SDKs show them: they keep pings to themselves."""
    block = ["content_block_start", *["content_block_delta"] * deltas, "content_block_stop"]
    return ["message_start", *block, "message_delta", "message_stop"]


def test_a_raw_stream_yields_every_event_in_order(client: Anthropic) -> None:
    with client.messages.create(**ask("text"), stream=True) as stream:
        events = list(stream)
    assert [event.type for event in events] == wire_events(deltas=4)
    assert [event.delta.text for event in events[2:6]] == ["One", " two", " three", " four."]
    assert events[-2].delta.stop_reason == "end_turn"


def test_an_async_raw_stream_yields_every_event_in_order(async_client: AsyncAnthropic, run: Run) -> None:
    async def types() -> list[str]:
        async with await async_client.messages.create(**ask("text"), stream=True) as stream:
            return [event.type async for event in stream]

    assert run(types()) == wire_events(deltas=4)


def test_the_helper_adds_a_text_event_to_every_text_delta(client: Anthropic) -> None:
    with client.messages.stream(**ask("text")) as stream:
        events = list(stream)
    assert Counter(event.type for event in events) == Counter([*wire_events(deltas=4), *["text"] * 4])
    assert [event.snapshot for event in events if event.type == "text"][-1] == TEXT
    assert events[-1].message.content[0].text == TEXT


def test_the_text_stream_is_the_text(client: Anthropic) -> None:
    with client.messages.stream(**ask("text")) as stream:
        assert list(stream.text_stream) == ["One", " two", " three", " four."]
        assert stream.get_final_text() == TEXT


def test_the_async_text_stream_is_the_text(async_client: AsyncAnthropic, run: Run) -> None:
    async def texts() -> tuple[list[str], str]:
        async with async_client.messages.stream(**ask("text")) as stream:
            return [text async for text in stream.text_stream], await stream.get_final_text()

    assert run(texts()) == (["One", " two", " three", " four."], TEXT)


def test_the_pieces_of_a_tool_input_are_its_json(client: Anthropic) -> None:
    with client.messages.stream(**ask("tool")) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        call = stream.get_final_message().content[1]
    assert len(pieces) > 2
    assert pieces[0] == ""
    assert json.loads("".join(pieces)) == call.input


def test_citations_arrive_one_by_one(client: Anthropic) -> None:
    with client.messages.stream(**ask("citations")) as stream:
        cited = [event.citation.cited_text for event in stream if event.type == "citation"]
        block = stream.get_final_message().content[1]
    assert cited == ["grass is green", "so is moss"] == [citation.cited_text for citation in block.citations]


def test_thirty_two_streams_open_at_once_are_all_complete_and_equal(async_client: AsyncAnthropic, run: Run) -> None:
    async def texts() -> list[str]:
        async with contextlib.AsyncExitStack() as opened:
            managers = [async_client.messages.stream(**ask("long")) for _ in range(32)]
            streams = await asyncio.gather(*map(opened.enter_async_context, managers))
            return await asyncio.gather(*[stream.get_final_text() for stream in streams])

    found = run(texts())
    assert len(found) == 32
    assert found[0].endswith("dwarf.")
    assert set(found) == {found[0]}


def test_a_stream_left_early_does_not_spoil_the_next_request(client: Anthropic) -> None:
    with client.messages.stream(**ask("long")) as stream:
        assert next(stream.text_stream)
    assert client.messages.create(**ask("text")).content[0].text == TEXT


# -- content that comes back ----------------------------------------------------------------------------------------


def create(client: Anthropic, call: dict[str, Any]) -> Any:
    return client.messages.create(**call)


def finished_stream(client: Anthropic, call: dict[str, Any]) -> Any:
    with client.messages.stream(**call) as stream:
        return stream.get_final_message()


both_ways = pytest.mark.parametrize("get", [create, finished_stream])


@both_ways
def test_thinking_is_signed_and_may_be_sent_back(client: Anthropic, get: Any) -> None:
    call = ask("thinking", thinking={"type": "adaptive", "display": "summarized"})
    first = get(client, call)
    assert first.content[0].thinking == "They said hello. I answer politely."
    assert len(first.content[0].signature) > 20
    again = answered(call, first.content)
    again["messages"].append({"role": "user", "content": "And now?"})
    assert get(client, again).content[0].text == "You sent my thoughts back."


@both_ways
def test_thinking_that_was_not_shown_may_be_sent_back(client: Anthropic, get: Any) -> None:
    call = ask("thinking", thinking={"type": "adaptive", "display": "omitted"})
    first = get(client, call)
    assert (first.content[0].thinking, len(first.content[0].signature) > 20) == ("", True)
    again = answered(call, first.content)
    again["messages"].append({"role": "user", "content": "And now?"})
    assert get(client, again).content[0].text == "You sent my thoughts back."


@both_ways
def test_thinking_that_was_changed_is_refused(client: Anthropic, get: Any) -> None:
    first = get(client, ask("thinking"))
    first.content[0].thinking = "I never thought this."
    with pytest.raises(anthropic.BadRequestError, match="latest assistant message cannot be modified"):
        get(client, answered(ask("thinking"), first.content, {"type": "text", "text": "And now?"}))


@both_ways
def test_redacted_thinking_may_be_sent_back(client: Anthropic, get: Any) -> None:
    first = get(client, ask("redacted"))
    assert first.content[0].data
    again = answered(ask("redacted"), first.content, {"type": "text", "text": "And now?"})
    assert get(client, again).content[0].text == "You sent the sealed thought back."


@both_ways
def test_a_tool_call_has_its_input_parsed_and_takes_a_result(client: Anthropic, get: Any) -> None:
    first = get(client, ask("tool"))
    call = first.content[1]
    assert (call.name, call.id[:6]) == ("get_weather", "toolu_")
    assert call.input == {
        "city": "Paris",
        "days": 3,
        "exact": True,
        "place": {"lat": 48.85, "lon": 2.35},
        "say": ['a "quote"', "a line\nbreak", None],
    }
    again = answered(ask("tool"), first.content, result(call, "sunny"))
    assert get(client, again).content[0].text == "It is sunny in Paris."


@both_ways
def test_parallel_calls_take_a_result_each(client: Anthropic, get: Any) -> None:
    first = get(client, ask("parallel"))
    weather, rome, here = first.content
    assert [(call.name, call.input) for call in first.content] == [
        ("get_weather", {"city": "Paris"}),
        ("get_time", {"city": "Rome"}),
        ("get_time", {}),
    ]
    results = [result(weather, "21 degrees in Paris"), result(rome, "noon in Rome"), result(here, "noon")]
    again = answered(ask("parallel"), first.content, *results)
    assert get(client, again).content[0].text == "Sunny in Paris, noon in Rome."


@both_ways
def test_a_thought_and_the_call_after_it_go_back_together(client: Anthropic, get: Any) -> None:
    first = get(client, ask("thinking-tool"))
    again = answered(ask("thinking-tool"), first.content, result(first.content[1], "sunny"))
    assert get(client, again).content[0].text == "It is sunny in Paris."


@both_ways
def test_a_call_without_its_result_is_refused(client: Anthropic, get: Any) -> None:
    first = get(client, ask("tool"))
    with pytest.raises(anthropic.BadRequestError, match="tool_result"):
        get(client, answered(ask("tool"), first.content, {"type": "text", "text": "Never mind."}))


@plays_search
@both_ways
def test_a_search_of_the_servers_own_may_be_sent_back(client: Anthropic, get: Any, profile: str) -> None:
    first = get(client, ask("web-search", tools=[{"type": "web_search_20250305", "name": "web_search"}]))
    _, call, found, _ = first.content
    assert (call.id[:9], call.name, call.input) == ("srvtoolu_", "web_search", {"query": "weather in Paris"})
    assert found.tool_use_id == call.id
    assert [item.title for item in found.content] == ["Paris weather", "More weather"]
    assert all(getattr(item, "encrypted_content", None) for item in found.content) is (profile == "anthropic")
    assert first.usage.server_tool_use.web_search_requests == 1
    again = answered(ask("web-search"), first.content, {"type": "text", "text": "Really?"})
    assert get(client, again).content[0].text == "As I said, sunny."


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")  # some versions miss what octen lacks
def test_search_results_pass_through_the_sdk_whole_but_for_octens_encrypted_content(
    client: Anthropic, profile: str
) -> None:
    found = client.messages.create(**ask("web-search")).content[2].to_dict()["content"]
    assert [item["title"] for item in found] == ["Paris weather", "More weather"]
    assert ["encrypted_content" in item for item in found] == [profile == "anthropic"] * 2


def test_a_failed_search_is_an_error_object(client: Anthropic) -> None:
    found = client.messages.create(**ask("failed-search")).content[1]
    assert found.content.error_code == "max_uses_exceeded"


# -- how a reply ends -----------------------------------------------------------------------------------------------


@plays_search
@both_ways
def test_a_paused_turn_goes_on_from_the_content_sent_back(client: Anthropic, get: Any) -> None:
    call = ask("pause", tools=[SEARCH])
    first = get(client, call)
    assert first.stop_reason == "pause_turn"
    second = get(client, answered(call, first.content))
    assert second.stop_reason == "end_turn"
    assert second.content[0].tool_use_id == first.content[1].id
    assert second.content[1].text == "Snails are slow."


@both_ways
def test_a_paused_turn_that_was_changed_is_refused(client: Anthropic, get: Any) -> None:
    call = ask("pause", tools=[SEARCH])
    first = get(client, call)
    first.content[1].input = {"query": "fast things"}
    with pytest.raises(anthropic.BadRequestError, match="input"):
        get(client, answered(call, first.content))


@both_ways
def test_a_paused_turn_goes_on_only_with_its_tool(client: Anthropic, get: Any) -> None:
    first = get(client, ask("pause"))
    with pytest.raises(anthropic.BadRequestError, match="but no `web_search` tool was provided"):
        get(client, answered(ask("pause"), first.content))


@both_ways
def test_a_refusal_says_why(client: Anthropic, get: Any) -> None:
    details = get(client, ask("refusal")).to_dict()["stop_details"]
    assert {name: details[name] for name in ("type", "category", "explanation")} == {
        "type": "refusal",
        "category": "cyber",
        "explanation": "This asks for malware.",
    }


@both_ways
def test_a_stop_sequence_cuts_the_text(client: Anthropic, get: Any) -> None:
    message = get(client, ask("text", stop_sequences=["never", "three"]))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "three")
    assert message.content[0].text == "One two "


@both_ways
def test_max_tokens_cuts_the_text(client: Anthropic, get: Any) -> None:
    message = get(client, ask("long", max_tokens=5))
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 5)
    whole = get(client, ask("long"))
    assert whole.content[0].text.startswith(message.content[0].text)
    assert 0 < len(message.content[0].text) < len(whole.content[0].text)


@pytest.mark.parametrize("scenario", ["texts", "thinking-tool", "tool", "pause"])
def test_wherever_max_tokens_cuts_both_forms_agree(client: Anthropic, scenario: str) -> None:
    """Also in the middle of a tool's JSON, which the SDK reads with a parser of its own."""
    whole = create(client, ask(scenario))
    tokens = whole.usage.output_tokens
    for limit in range(1, tokens + 2):
        call = ask(scenario, max_tokens=limit)
        message = create(client, call)
        assert said(finished_stream(client, call)) == said(message)
        assert message.stop_reason == ("max_tokens" if limit < tokens else whole.stop_reason)
        assert message.usage.output_tokens == min(limit, tokens)


# -- agents ---------------------------------------------------------------------------------------------------------

WEATHER = "21 degrees in {city}"
TIME = "noon in {city}"


@beta_tool
def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Its name.
    """
    return WEATHER.format(city=city)


@beta_tool
def get_time(city: str) -> str:
    """The time in a city.

    Args:
        city: Its name.
    """
    return TIME.format(city=city)


@beta_tool(name="get_weather")
def broken_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Its name.
    """
    raise RuntimeError(f"the station is down in {city}")


@beta_async_tool(name="get_weather")
async def slow_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Its name.
    """
    return WEATHER.format(city=city)


@beta_async_tool(name="get_time")
async def slow_time(city: str) -> str:
    """The time in a city.

    Args:
        city: Its name.
    """
    return TIME.format(city=city)


AGENT_ENDS = "It is noon in Paris, at 21 degrees."


def opening(profile: str) -> list[int]:
    """What comes before the first reply of a tool runner: SDKs from 2.0 ask for a thread, which Octen refuses."""
    return [400] if GENERATION >= 2 and profile == "octen" else []


@pytest.fixture
def statuses() -> list[int]:
    """The statuses that `recorded` clients were answered with."""
    return []


@pytest.fixture
def recorded(server: MockServer, key: str, statuses: list[int]) -> Iterator[Anthropic]:
    """A client that notes the status of every response."""
    hooks = {"response": [lambda response: statuses.append(response.status_code)]}
    http = anthropic.DefaultHttpxClient(event_hooks=hooks)
    with Anthropic(base_url=server.url, api_key=key, max_retries=0, http_client=http) as client:
        yield client


def test_the_tool_runner_finishes_a_loop_of_two_tools(recorded: Anthropic, statuses: list[int], profile: str) -> None:
    runner = recorded.beta.messages.tool_runner(**ask("agent"), tools=[get_weather, get_time])
    assert [message.stop_reason for message in runner] == ["tool_use", "tool_use", "end_turn"]
    assert runner.until_done().content[0].text == AGENT_ENDS
    assert statuses == [*opening(profile), 200, 200, 200]


def test_the_streaming_tool_runner_finishes_a_loop_of_two_tools(
    recorded: Anthropic, statuses: list[int], profile: str
) -> None:
    runner = recorded.beta.messages.tool_runner(**ask("agent"), tools=[get_weather, get_time], stream=True)
    replies = [stream.get_final_message() for stream in runner]
    assert [message.stop_reason for message in replies] == ["tool_use", "tool_use", "end_turn"]
    assert replies[-1].content[0].text == AGENT_ENDS
    assert statuses == [*opening(profile), 200, 200, 200]


@pytest.mark.parametrize("stream", [False, True])
def test_the_async_tool_runner_finishes_a_loop_of_two_tools(
    async_client: AsyncAnthropic, run: Run, stream: bool
) -> None:
    tools = [slow_weather, slow_time]
    runner = async_client.beta.messages.tool_runner(**ask("agent"), tools=tools, stream=stream)
    assert run(runner.until_done()).content[0].text == AGENT_ENDS


def test_the_tool_runner_reports_a_tool_that_fails(client: Anthropic) -> None:
    runner = client.beta.messages.tool_runner(**ask("agent"), tools=[broken_weather, get_time])
    assert runner.until_done().content[0].text == "I could not reach the weather service."


def test_the_tool_runner_answers_parallel_calls_together(client: Anthropic) -> None:
    @beta_tool(name="get_time")
    def anywhere(city: str = "Rome") -> str:
        """The time in a city.

        Args:
            city: Its name.
        """
        return TIME.format(city=city)

    runner = client.beta.messages.tool_runner(**ask("parallel"), tools=[get_weather, anywhere])
    assert runner.until_done().content[0].text == "Sunny in Paris, noon in Rome."


@plays_search
def test_an_agent_goes_on_after_a_pause_and_after_a_tool(client: Anthropic) -> None:
    call = ask("pause-then-tool", tools=[get_weather.to_dict(), SEARCH])
    reasons = []
    for _ in range(3):
        message = client.messages.create(**call)
        reasons.append(message.stop_reason)
        calls = [block for block in message.content if block.type == "tool_use"]
        call = answered(call, message.content, *[result(block, get_weather.call(block.input)) for block in calls])
    assert reasons == ["pause_turn", "tool_use", "end_turn"]
    assert message.content[0].text == "The city is Paris, at 21 degrees."


# -- structured output ----------------------------------------------------------------------------------------------


class Hour(BaseModel):
    hour: int
    rain: bool


class Forecast(BaseModel):
    city: str
    degrees: float
    sky: Literal["sunny", "cloudy", "rainy"]
    hours: list[Hour]
    note: str | None


# 0.x says so of the one way its beta `parse` has.
takes_format = pytest.mark.filterwarnings("ignore:The 'output_format' parameter is deprecated:DeprecationWarning")
SCRIPTED = Forecast(
    city="Paris", degrees=21.5, sky="sunny", hours=[Hour(hour=9, rain=False), Hour(hour=15, rain=True)], note=None
)


@takes_format
def test_parse_reads_a_scripted_reply_into_the_model(client: Anthropic, surface: Surface) -> None:
    message = surface(client).parse(**ask("forecast"), output_format=Forecast)
    assert message.parsed_output == SCRIPTED


@takes_format
def test_the_stream_reads_a_scripted_reply_into_the_model(client: Anthropic, surface: Surface) -> None:
    with surface(client).stream(**ask("forecast"), output_format=Forecast) as stream:
        assert stream.get_final_message().parsed_output == SCRIPTED


def generated_call(n: int = 0) -> dict[str, Any]:
    prompt = f"What will the weather be like, number {n}?"
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": prompt}]}


@pytest.fixture
def generator(generating: MockServer, key: str) -> Iterator[Anthropic]:
    """A client of a server that makes up every reply."""
    with Anthropic(base_url=generating.url, api_key=key, max_retries=0) as client:
        yield client


@takes_format
def test_a_generated_reply_fits_the_model(generator: Anthropic, surface: Surface) -> None:
    for n in range(5):
        message = surface(generator).parse(**generated_call(n), output_format=Forecast)
        assert isinstance(message.parsed_output, Forecast)
        assert message.stop_reason == "end_turn"


@takes_format
def test_a_generated_stream_fits_the_model_and_equals_the_generated_reply(
    generator: Anthropic, surface: Surface
) -> None:
    with surface(generator).stream(**generated_call(), output_format=Forecast) as stream:
        streamed = stream.get_final_message()
    assert streamed.parsed_output == surface(generator).parse(**generated_call(), output_format=Forecast).parsed_output


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_time"}])
def test_a_generated_tool_call_runs(generator: Anthropic, choice: dict[str, str]) -> None:
    message = generator.messages.create(**generated_call(), tools=[get_time.to_dict()], tool_choice=choice)
    (call,) = message.content
    assert (message.stop_reason, call.name) == ("tool_use", "get_time")
    assert get_time.call(call.input) == TIME.format(**call.input)


def test_a_generated_text_is_the_same_for_the_same_request(generator: Anthropic) -> None:
    texts = [generator.messages.create(**generated_call(n)).content[0].text for n in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


# -- errors ---------------------------------------------------------------------------------------------------------

# status -> the type in the body, the class in 2.x, the class before
ERRORS = {
    400: ("invalid_request_error", "BadRequestError", "BadRequestError"),
    401: ("authentication_error", "AuthenticationError", "AuthenticationError"),
    402: ("billing_error", "PaymentRequiredError", "APIStatusError"),
    403: ("permission_error", "PermissionDeniedError", "PermissionDeniedError"),
    404: ("not_found_error", "NotFoundError", "NotFoundError"),
    405: ("invalid_request_error", "APIStatusError", "APIStatusError"),
    413: ("request_too_large", "ContentTooLargeError", "RequestTooLargeError"),
    429: ("rate_limit_error", "RateLimitError", "RateLimitError"),
    500: ("api_error", "InternalServerError", "InternalServerError"),
    503: ("api_error", "ServiceUnavailableError", "InternalServerError"),
    504: ("timeout_error", "GatewayTimeoutError", "InternalServerError"),
    529: ("overloaded_error", "OverloadedError", "OverloadedError"),
}
every_error = pytest.mark.parametrize("status", ERRORS)


def check_error(error: Any, status: int, profile: str) -> None:
    kind, newest, older = ERRORS[status]
    assert type(error).__name__ == (newest if GENERATION >= 2 else older)
    assert (error.status_code, error.type, error.body["error"]["type"]) == (status, kind, kind)
    assert error.body["error"]["message"] in error.message
    assert error.request_id
    assert error.request_id == error.response.headers["request-id"]
    if profile == "anthropic":
        assert error.body["request_id"] == error.request_id
    else:
        assert "request_id" not in error.body
        assert error.response.headers["x-request-id"] == error.request_id


@every_error
def test_an_error_is_of_its_class_and_knows_its_request(client: Anthropic, profile: str, status: int) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**ask(f"error-{status}"))
    check_error(caught.value, status, profile)


@every_error
def test_a_stream_that_cannot_begin_raises_the_same_error(client: Anthropic, profile: str, status: int) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught, client.messages.stream(**ask(f"error-{status}")):
        pass
    check_error(caught.value, status, profile)


@every_error
def test_the_async_client_raises_the_same_error(
    async_client: AsyncAnthropic, run: Run, profile: str, status: int
) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        run(async_client.messages.create(**ask(f"error-{status}")))
    check_error(caught.value, status, profile)


def test_an_unknown_model_is_not_found_with_a_hint(client: Anthropic, profile: str) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(**ask("text", model="claude-opus-99"))
    check_error(caught.value, 404, profile)
    assert "--any-model" in caught.value.response.headers["x-mock-hint"]


def test_an_unknown_path_is_not_found(client: Anthropic, profile: str) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.post("/v1/nowhere", body={}, cast_to=object)
    check_error(caught.value, 404, profile)


def test_a_wrong_method_is_405(client: Anthropic, profile: str) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.put("/v1/messages", body={}, cast_to=object)
    check_error(caught.value, 405, profile)


def test_a_bad_request_names_the_parameter(client: Anthropic, profile: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match="max_tokens") as caught:
        client.messages.create(**ask("text", max_tokens=-1))
    check_error(caught.value, 400, profile)


def error_code(error: Any) -> str:
    """The code in the details of an error; 2.x reads it for the user."""
    code: str = error.error_code if GENERATION >= 2 else error.body["error"]["details"]["error_code"]
    return code


def test_an_error_carries_its_code(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match=r"The file is gone\.") as caught:
        client.messages.create(**ask("detailed-error"))
    assert error_code(caught.value) == "file_expired"


def test_a_thread_is_held_or_refused_with_the_code_that_makes_clients_fall_back(
    client: Anthropic, profile: str
) -> None:
    def create(**thread: str) -> Any:
        beta = {"anthropic-beta": "message-threads-2026-08-12"}
        return client.beta.messages.create(**ask("text"), extra_body={"thread": thread}, extra_headers=beta)

    if profile == "octen":
        with pytest.raises(anthropic.BadRequestError) as caught:
            create(type="create")
        assert error_code(caught.value) == "thread_unsupported_request"
        return
    first = create(type="create")
    assert create(type="continue", previous_message_id=first.id).content
    with pytest.raises(anthropic.BadRequestError) as caught:
        create(type="continue", previous_message_id=first.id)
    assert error_code(caught.value) == "thread_already_continued"
    with pytest.raises(anthropic.NotFoundError) as lost:
        create(type="continue", previous_message_id="msg_none")
    assert error_code(lost.value) == "thread_not_found"


def test_only_listed_keys_are_let_in_however_the_sdk_sends_them() -> None:
    settings = Settings(port=0, time_scale=0, api_key=("sk-good-*",))
    call = generated_call()
    with MockServer(settings=settings) as guarded, Anthropic(base_url=guarded.url, api_key="sk-bad") as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.messages.create(**call)
        assert caught.value.status_code == 401
        assert client.with_options(api_key="sk-good-one").messages.create(**call).content
    with MockServer(settings=settings) as guarded, Anthropic(base_url=guarded.url, auth_token="sk-good-two") as client:
        assert client.messages.create(**call).content


# -- retries --------------------------------------------------------------------------------------------------------


def test_two_retries_outlast_two_failures(client: Anthropic) -> None:
    raw = client.with_options(max_retries=2).messages.with_raw_response.create(**ask("busy-twice"))
    assert raw.retries_taken == 2
    assert raw.parse().content[0].text == "Third time lucky."


def test_a_stream_is_retried_before_it_begins(client: Anthropic) -> None:
    with client.with_options(max_retries=2).messages.stream(**ask("busy-twice")) as stream:
        assert stream.get_final_text() == "Third time lucky."


def test_the_async_client_retries(async_client: AsyncAnthropic, run: Run) -> None:
    message = run(async_client.with_options(max_retries=2).messages.create(**ask("busy-twice")))
    assert message.content[0].text == "Third time lucky."


def test_too_few_retries_raise_the_last_failure(client: Anthropic) -> None:
    with pytest.raises(anthropic.OverloadedError):
        client.with_options(max_retries=0).messages.create(**ask("busy-twice"))
    other = client.with_options(max_retries=1, api_key="sk-another-one")
    with pytest.raises(anthropic.RateLimitError):
        other.messages.create(**ask("busy-twice"))


@pytest.mark.parametrize(("scenario", "waits"), [("busy-twice", [0.001, 0.001]), ("busy-for-seconds", [2.0])])
def test_the_sdk_waits_as_long_as_the_server_says(
    client: Anthropic, monkeypatch: pytest.MonkeyPatch, scenario: str, waits: list[float]
) -> None:
    found = []
    original = Anthropic._calculate_retry_timeout
    monkeypatch.setattr(Anthropic, "_calculate_retry_timeout", lambda *given: found.append(original(*given)) or 0)
    client.with_options(max_retries=2).messages.create(**ask(scenario))
    assert found == waits


def test_the_server_can_forbid_a_retry(client: Anthropic) -> None:
    with pytest.raises(anthropic.OverloadedError):
        client.with_options(max_retries=2).messages.create(**ask("busy-for-good"))


def test_the_server_can_ask_for_a_retry(client: Anthropic) -> None:
    message = client.with_options(max_retries=1).messages.create(**ask("bad-for-once"))
    assert message.content[0].text == "Now it is fine."


def test_the_librarys_overloaded_twice_gives_way_to_two_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Anthropic, "_calculate_retry_timeout", lambda *_: 0)  # the SDK would sleep for seconds
    with MockServer(library()) as running, Anthropic(base_url=running.url, api_key="sk-patient") as client:
        raw = client.messages.with_raw_response.create(**ask("overloaded-twice"))
        assert raw.retries_taken == 2
        assert raw.parse().stop_reason == "end_turn"
        hasty = client.with_options(max_retries=0, api_key="sk-hasty")
        with pytest.raises(anthropic.OverloadedError):
            hasty.messages.create(**ask("overloaded-twice"))


# -- the client's own ways ------------------------------------------------------------------------------------------


def test_the_request_id_is_on_the_message_and_in_the_headers(client: Anthropic) -> None:
    raw = client.messages.with_raw_response.create(**ask("text"))
    assert raw.headers["request-id"].startswith("req_")
    assert raw.parse()._request_id == raw.headers["request-id"]
    with client.messages.stream(**ask("text")) as stream:
        assert stream.response.headers["request-id"].startswith("req_")
        assert stream.response.headers["content-type"].startswith("text/event-stream")


def test_every_response_has_a_request_id_and_a_message_id_of_its_own(client: Anthropic) -> None:
    messages = [client.messages.create(**ask("text")) for _ in range(3)]
    assert len({message.id for message in messages}) == len({message._request_id for message in messages}) == 3


def test_a_response_can_be_read_as_it_comes(client: Anthropic) -> None:
    with client.messages.with_streaming_response.create(**ask("text")) as response:
        assert json.loads(response.read())["content"] == [{"type": "text", "text": TEXT}]


def test_a_client_with_other_options_talks_to_the_same_server(client: Anthropic) -> None:
    other = client.with_options(timeout=5, default_headers={"x-mock-scenario": "texts"})
    assert other.messages.create(**ask("text")).content[0].text == "First."


def test_a_session_in_the_base_url_is_part_of_the_path(server: MockServer, client: Anthropic) -> None:
    other = client.with_options(base_url=f"{server.url}/s/mine")
    assert other.messages.create(**ask("text")).content[0].text == TEXT


def test_parameters_that_are_not_emulated_are_accepted(client: Anthropic) -> None:
    message = client.messages.create(
        **ask("text", system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]),
        metadata={"user_id": "someone"},
        service_tier="auto",
        extra_headers={"anthropic-beta": "context-1m-2025-08-07,claude-code-20250219"},
    )
    assert message.content[0].text == TEXT


def test_an_image_and_a_document_are_accepted(client: Anthropic) -> None:
    call = ask("text")
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Some facts."}},
        {"type": "text", "text": call["messages"][0]["content"]},
    ]
    message = client.messages.create(**{**call, "messages": [{"role": "user", "content": content}]})
    assert message.content[0].text == TEXT


# -- the fixture ----------------------------------------------------------------------------------------------------


def test_the_fixture_answers_a_client_made_from_its_environment(
    mock_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in mock_server.env.items():
        monkeypatch.setenv(name, value)
    mock_server.add("It is sunny.", when={"prompt": "weather"})
    with Anthropic() as client:
        assert client.messages.create(**generated_call()).content[0].text == "It is sunny."


@pytest.mark.mock_settings(strict=False)
def test_the_fixture_says_why_nothing_matched_and_is_not_asked_again(mock_server: Any) -> None:
    mock_server.add("It is sunny.", when={"prompt": "sunshine"})
    with (
        Anthropic(base_url=mock_server.url, api_key=mock_server.api_key) as client,
        pytest.raises(anthropic.BadRequestError, match="sunshine"),
    ):
        client.messages.create(**generated_call())
    assert mock_server.journal.unmatched == mock_server.journal.total == 1


def test_turns_are_told_apart_by_the_conversation_alone(mock_server: Any) -> None:
    mock_server.add(turns=[{"reply": "First."}, {"reply": "Second."}])
    with Anthropic(base_url=mock_server.url, api_key=mock_server.api_key) as client:
        call = generated_call()
        first = client.messages.create(**call)
        again = answered(call, first.content, {"type": "text", "text": "And then?"})
        told = [client.messages.create(**request).content[0].text for request in (again, call, again)]
    assert told == ["Second.", "First.", "Second."]
