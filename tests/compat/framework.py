"""What a framework makes of each report of the table, and of count_tokens where a file strikes it:
`langchain-anthropic`, in an environment of its own. Started by test_framework.py, which gives the scenarios on stdin
([[scenario, how, hangs], …]; for `endpoints` [[session, call], …]) and reads what came of them.
"""

import json
import os
import sys
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage

# seconds to wait where nothing more comes
PATIENCE = 2.0


def said(chunk: Any) -> str:
    """The text of a message or a piece of one, and the input of its calls."""
    content = chunk.content
    texts = [content] if isinstance(content, str) else [block.get("text", "") for block in content]
    calls = [call["args"] or "" for call in getattr(chunk, "tool_call_chunks", ())]
    if not calls:
        calls = [str(call["args"]) for call in getattr(chunk, "tool_calls", ())]
    return "".join([*texts, *calls])


def ended(chunks: list[Any]) -> str | None:
    """How the message ended, and its tokens, as the framework adds them up."""
    if not chunks:
        return None
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    usage, reason = whole.usage_metadata or {}, whole.response_metadata.get("stop_reason")
    return f"{reason or 'no reason'}, {usage.get('input_tokens')} in, {usage.get('output_tokens')} out"


def told(scenario: str, how: str, hangs: bool) -> tuple[str, str, str | None]:
    """The class of the exception, or `ok`; the text that had arrived; how the message ended."""
    chunks: list[Any] = []
    heard: list[str] = []
    chat = ChatAnthropic(
        model="claude-opus-4-8",
        base_url=os.environ["SUITE_URL"],
        api_key=f"{scenario} {how}",
        max_retries=0,
        max_tokens=200,
        timeout=PATIENCE if hangs else 20.0,
        default_headers={"x-mock-scenario": scenario, "connection": "close"},
    )
    model = chat.bind_tools([{"name": "get_weather", "input_schema": {"type": "object"}}])
    try:
        if how == "stream":
            for chunk in model.stream("Hi"):
                chunks.append(chunk)
                heard.append(said(chunk))
        else:
            heard.append(said(model.invoke("Hi")))
    except Exception as error:
        return type(error).__name__, "".join(heard), None
    return "ok", "".join(heard), ended(chunks)


# what of the framework asks an endpoint, under the name that the table of endpoints has for it
CALLS = {
    "create": lambda chat: chat.invoke("Hi"),
    "count_tokens": lambda chat: chat.get_num_tokens_from_messages([HumanMessage("Hi")]),
}


def of_endpoint(session: str, call: str) -> str:
    """The class of the exception, or `ok`."""
    chat = ChatAnthropic(
        model="claude-opus-4-8", base_url=os.environ["SUITE_URL"], api_key=session, max_retries=0, timeout=20.0
    )
    try:
        CALLS[call](chat)
    except Exception as error:
        return type(error).__name__
    return "ok"


def main() -> None:
    if sys.argv[1:] == ["endpoints"]:
        for session, call in json.load(sys.stdin):
            print(json.dumps([session, call, of_endpoint(session, call)]), flush=True)
        return
    for scenario, how, hangs in json.load(sys.stdin):
        print(json.dumps([scenario, how, *told(scenario, how, hangs)]), flush=True)


if __name__ == "__main__":
    main()
