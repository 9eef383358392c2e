"""A model that answers questions about the weather: it may look at stations, warn people and search the web."""

import sys
from collections.abc import Callable, Iterator, Mapping
from threading import Event
from typing import Any

from anthropic import Anthropic
from anthropic.types import Message, MessageParam, ToolParam, ToolResultBlockParam, ToolUseBlock

MODEL = "claude-opus-4-8"
SYSTEM = "You are a weather desk. Look at the stations before you answer."
CUT = " […]"

GET_WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "The weather at the station of a city, now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
WARN_PEOPLE: ToolParam = {
    "name": "warn_people",
    "description": "Sends a warning to everybody who lives in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "text": {"type": "string"}},
        "required": ["city", "text"],
    },
}
WEB_SEARCH: Any = {"type": "web_search_20250305", "name": "web_search"}

Tool = Callable[..., str]


class Refused(Exception):
    """The model does not want to answer this."""


class TooManyRounds(Exception):
    """The model still called tools when its rounds were used up."""


class WeatherDesk:
    """The loop: ask the model, do what it wants done, tell it what came of that, until it has an answer.

    The client comes from the environment (ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY) unless one is given; it retries by
    itself what is worth a retry.
    """

    def __init__(
        self,
        get_weather: Tool,
        warn_people: Tool,
        *,
        client: Anthropic | None = None,
        max_tokens: int = 1024,
        max_rounds: int = 6,
    ) -> None:
        self._tools: Mapping[str, Tool] = {"get_weather": get_weather, "warn_people": warn_people}
        self._client = client or Anthropic()
        self._max_tokens = max_tokens
        self._max_rounds = max_rounds

    def __enter__(self) -> "WeatherDesk":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, question: str) -> str:
        """The answer. Raises Refused and TooManyRounds; a text that reached the token limit ends in CUT."""
        messages: list[MessageParam] = [{"role": "user", "content": question}]
        for _ in range(self._max_rounds):
            message = self._client.messages.create(**self._request(messages))
            if self._is_last(message, messages):
                text = "".join(block.text for block in message.content if block.type == "text")
                return text + (CUT if message.stop_reason == "max_tokens" else "")
        raise TooManyRounds(f"no answer after {self._max_rounds} rounds")

    def stream(self, question: str, cancel: Event | None = None) -> Iterator[str]:
        """The same as it is written, what is said before a tool call included. Ends early once `cancel` is set."""
        messages: list[MessageParam] = [{"role": "user", "content": question}]
        for _ in range(self._max_rounds):
            # leaving the block closes the connection, so a cancelled answer is not paid to its end
            with self._client.messages.stream(**self._request(messages)) as events:
                for event in events:
                    if cancel is not None and cancel.is_set():
                        return
                    if event.type == "text":
                        yield event.text
                message = events.get_final_message()
            if self._is_last(message, messages):
                if message.stop_reason == "max_tokens":
                    yield CUT
                return
        raise TooManyRounds(f"no answer after {self._max_rounds} rounds")

    def _request(self, messages: list[MessageParam]) -> dict[str, Any]:
        return {
            "model": MODEL,
            "max_tokens": self._max_tokens,
            "system": SYSTEM,
            "tools": [GET_WEATHER, WARN_PEOPLE, WEB_SEARCH],
            "messages": messages,
        }

    def _is_last(self, message: Message, messages: list[MessageParam]) -> bool:
        """Whether the conversation ends here; if not, `messages` has become what to send next."""
        if message.stop_reason == "refusal":
            raise Refused("the model refuses to answer")
        if message.stop_reason not in ("tool_use", "pause_turn"):
            return True  # a tool call that max_tokens has cut is not to be run: its input may be half of one
        messages.append({"role": "assistant", "content": message.content})
        calls = [block for block in message.content if block.type == "tool_use"]
        if calls:  # a paused turn has none: it goes on when it is sent back as it is
            messages.append({"role": "user", "content": [self._run(call) for call in calls]})
        return False

    def _run(self, call: ToolUseBlock) -> ToolResultBlockParam:
        """Do what the model asks for. A failure is told to the model, which may know another way."""
        try:
            text, failed = self._tools[call.name](**call.input), False
        except Exception as error:
            text, failed = f"{type(error).__name__}: {error}", True
        return {"type": "tool_result", "tool_use_id": call.id, "content": text, "is_error": failed}


def main() -> None:
    """Answer one question on the command line, with stations that always have the same weather."""
    with WeatherDesk(lambda city: f"{city}: 21 °C, sunny", lambda city, text: f"told {city}") as desk:
        for text in desk.stream(" ".join(sys.argv[1:]) or "How is the weather in Paris?"):
            print(text, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
