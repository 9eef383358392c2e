"""What agent CLIs send, as they sent it (Claude Code 2.1.197, opencode 1.18.33) or have it in their source: the loop of
the conversation, and the calls beside it. Long texts are cut short."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

CLAUDE_CODE = {
    "user-agent": "claude-cli/2.1.197 (external, cli)",
    "x-app": "cli",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,context-1m-2025-08-07,interleaved-thinking-2025-05-14,"
    "thinking-token-count-2026-05-13,context-management-2025-06-27,prompt-caching-scope-2026-01-05,"
    "mid-conversation-system-2026-04-07,effort-2025-11-24",
}
OPENCODE = {
    "user-agent": "opencode/1.18.33 ai-sdk/provider-utils/4.0.46 runtime/bun/1.3.14",
    "anthropic-version": "2023-06-01",
}
SDK = {"user-agent": "Anthropic/Python 2.14.0", "anthropic-version": "2026-10-21"}

TOOLS = (
    *("Agent", "Bash", "CronCreate", "CronDelete", "CronList", "DesignSync", "Edit", "EnterWorktree", "ExitWorktree"),
    *("NotebookEdit", "Read", "ReportFindings", "ScheduleWakeup", "SendMessage", "Skill", "TaskCreate", "TaskGet"),
    *("TaskList", "TaskOutput", "TaskStop", "TaskUpdate", "WebFetch", "WebSearch", "Write"),
)
REMINDER = (
    "<system-reminder>\nAs you answer the user's questions, you can use the following context:\n</system-reminder>\n"
)
AGENT = "\nYou are an interactive agent that helps users with software engineering tasks."
TITLE = (
    "Generate a concise, sentence-case title (3-7 words) that captures the main topic or goal of this coding session.\n\n"
    'Return JSON with a single "title" field.'
)
TITLE_SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}


def text(said: str, *, marked: bool = False) -> dict[str, Any]:
    return {"type": "text", "text": said, **({"cache_control": {"type": "ephemeral"}} if marked else {})}


def user(*said: str) -> dict[str, Any]:
    return {"role": "user", "content": [text(one) for one in said]}


def tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"description": {"type": "string"}}, "required": ["description"]}
    return {"name": name, "description": f"The tool {name}.", "input_schema": schema}


def system(*said: str) -> list[dict[str, Any]]:
    first = "x-anthropic-billing-header: cc_version=2.1.197.e1f; cc_entrypoint=cli;"
    return [
        text(first),
        text("You are Claude Code, Anthropic's official CLI for Claude.", marked=True),
        *map(text, said),
    ]


def turn(prompt: str, *more: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """One request of Claude Code's conversation; `more`: the messages since the prompt."""
    prompted = {"role": "user", "content": [text(REMINDER), text(prompt, marked=True)]}
    listed = {"role": "system", "content": "Available agent types for the Agent tool:\n- claude: Catch-all"}
    return {
        "model": "claude-opus-4-8",
        "max_tokens": 64000,
        "messages": [prompted, listed, *more],
        "system": system(AGENT),
        "tools": [tool(name) for name in TOOLS],
        "metadata": {"user_id": '{"device_id":"6449","account_uuid":"","session_id":"968a"}'},
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
        **changed,
    }


def aside(*said: str, **changed: Any) -> dict[str, Any]:
    """A call of Claude Code's beside the conversation, with messages of its own."""
    return {"model": "claude-haiku-4-5-20251001", "max_tokens": 512, "messages": [user(*said)], **changed}


def bare(said: str, **changed: Any) -> dict[str, Any]:
    """The shortest request there is."""
    return {"model": "claude-opus-4-8", "max_tokens": 1, "messages": [{"role": "user", "content": said}], **changed}


def titled(prompt: str) -> dict[str, Any]:
    """Claude Code's call for the title of a session."""
    quoted = f"<session>\n{prompt}\n</session>\n\nWrite the title in the language the user wrote in."
    config = {"effort": "high", "format": {"type": "json_schema", "schema": TITLE_SCHEMA}}
    more: dict[str, Any] = {"thinking": {"type": "disabled"}, "output_config": config, "stream": True}
    return aside(quoted, model="claude-opus-4-8", max_tokens=64000, system=system(TITLE), **more)


DONE: Sequence[Mapping[str, Any]] = ({"role": "assistant", "content": [text("Done.")]},)
CALLED: Sequence[Mapping[str, Any]] = (
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_01x", "name": "Read", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01x", "content": "print('hi')"}]},
)


class Sent(NamedTuple):
    """A request with the headers of whoever sent it."""

    body: Mapping[str, Any]
    headers: Mapping[str, str] = CLAUDE_CODE


TOPIC = (
    "Analyze if this message indicates a new conversation topic. If it does, extract a 2-3 word title that captures it."
)
SUGGESTION = "[SUGGESTION MODE: Suggest what the user might naturally type next into Claude Code.]\n\nFIRST: Look at"
NAME = "Generate a short kebab-case name (2-4 words) that captures the main topic of this conversation."
LABEL = "Write a short summary label describing what these tool calls accomplished. It appears as a single-line row."
ACTION = "Describe your most recent action in 3-5 words using present tense (-ing). Name the file or function."
OUTPUT = "You MUST call the StructuredOutput tool to complete this request. Call this tool now."
COMPACT = (
    "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.\n\n"
    "Your task is to create a detailed summary of the conversation so far, paying close attention to the user's requests."
)
OPENCODE_TITLE = (
    "You are a title generator. You output ONLY a thread title. Nothing else.\n\n<task>\nGenerate a brief title"
)
FIX = "Fix the parser"

# scenario -> the calls that it answers
SIDE_CALLS: Mapping[str, Sequence[Sent]] = {
    "side-quota": [Sent(bare("quota", metadata={"user_id": "x"}))],
    "side-probe": [
        Sent(bare("test", metadata={"user_id": "x"})),
        Sent(aside("Hi", max_tokens=1)),
        Sent(bare("count")),
        Sent(bare(".")),
    ],
    "side-warmup": [Sent(turn("Warmup")), Sent(bare("Warmup", max_tokens=32000, system="You are an agent."))],
    "side-title": [Sent(titled(FIX)), Sent(titled("[[scenario:agent-loop]] Weather?"))],
    "side-topic": [Sent(aside(FIX, system=[text(TOPIC)], max_tokens=512))],
    "side-topic-prefilled": [
        Sent(aside(FIX, system=TOPIC, messages=[user(FIX), {"role": "assistant", "content": "{"}]))
    ],
    "side-past-title": [
        Sent(aside("Please write a 5-10 word title for the following conversation:\n\nUser: Fix the parser"))
    ],
    "side-name": [
        Sent(turn(FIX, *DONE, user(NAME))),
        Sent(aside("User: Fix the parser", system=system(NAME))),
        Sent(aside("You are coming up with a succinct title and git branch name for a coding session based on …")),
    ],
    "side-suggestion": [Sent(turn(FIX, *DONE, user(SUGGESTION)))],
    "side-recap": [
        Sent(turn(FIX, *DONE, user("The user stepped away and is coming back. Recap in under 40 words, 1-2 plain …")))
    ],
    "side-label": [
        Sent(aside("Tools completed:\n\nTool: Read", system=system(LABEL))),
        Sent(turn(FIX, *CALLED, user(ACTION))),
    ],
    "side-command": [
        Sent(
            aside("<policy_spec>\n# Claude Code Code Bash command prefix detection\n…</policy_spec>\n\nCommand: ls -l")
        ),
        Sent(
            aside("Command: ls", system="Your task is to process Bash commands that an AI coding agent wants to run.")
        ),
    ],
    "side-paths": [
        Sent(
            aside(
                "Command: cat x\nOutput: y",
                system="Extract any file paths that this command reads or modifies. For commands like …",
            )
        )
    ],
    "side-page": [Sent(aside("\nWeb page content:\n---\n# Example\n---\n\nWhat is it about?"))],
    "side-output": [
        Sent(turn(FIX, *DONE, user(f"Stop hook feedback:\n{OUTPUT}"), tools=[tool("Read"), tool("StructuredOutput")])),
        Sent(turn(FIX, *DONE, user(f"[structured-output-enforce] {OUTPUT}"), tools=[tool("StructuredOutput")])),
    ],
    "side-memory": [
        Sent(
            turn(FIX, *DONE, user("You are now acting as the memory extraction subagent. Analyze the most recent ~2 …"))
        )
    ],
    "side-compact": [Sent(turn(FIX, *CALLED, user(COMPACT))), Sent(turn(FIX, *DONE, user(COMPACT), stream=False))],
    "side-opencode-title": [
        Sent(
            aside("Generate a title for this conversation:\n", '"Fix the parser"', system=[text(OPENCODE_TITLE)]),
            OPENCODE,
        )
    ],
}

# requests that have something of a side call and are none
ORDINARY: Mapping[str, Sent] = {
    "a prompt of Claude Code": Sent(turn(FIX)),
    "the next prompt of Claude Code": Sent(turn(FIX, *DONE, user("Now list the failing tests"))),
    "a result for Claude Code": Sent(turn(FIX, *CALLED)),
    "a prompt of one word": Sent(turn("quota")),
    "a short prompt": Sent(turn("Hi")),
    "a prompt that talks of a warm-up": Sent(turn("Warmup the cache before the tests")),
    "a prompt for a title": Sent(turn("Generate a concise, sentence-case title (3-7 words) for this README")),
    "a prompt that quotes a side call": Sent(turn(f"What does the CLI mean by '{SUGGESTION}'?")),
    "a prompt for a summary": Sent(turn("Please create a detailed summary of the conversation so far")),
    "a file that quotes a side call": Sent(
        turn(FIX, CALLED[0], {**CALLED[1], "content": [{**CALLED[1]["content"][0], "content": f"x = '{ACTION}'"}]})
    ),
    "a side call further up": Sent(turn(FIX, *DONE, user(SUGGESTION), *DONE, user("Go on"))),
    "a question aside": Sent(
        turn(FIX, *DONE, user("<system-reminder>This is a side question from the user.</system-reminder>"))
    ),
    "an order without the tool": Sent(turn(FIX, *DONE, user(OUTPUT))),
    "a prompt of opencode": Sent(aside('"Fix the parser"', system="You are OpenCode, the best coding agent"), OPENCODE),
    "a program's quota": Sent(bare("quota"), SDK),
    "a program's test": Sent(bare("test"), SDK),
    "a program's greeting": Sent(bare("Hi"), SDK),
    "a program's warm-up": Sent(bare("Warmup", max_tokens=100), SDK),
    "a program's title": Sent(titled(FIX), SDK),
    "a program's topic": Sent(aside(FIX, system=TOPIC), SDK),
    "a program's page": Sent(aside("Web page content:\n---\nx"), SDK),
    "a program's summary": Sent(turn(FIX, *DONE, user(COMPACT)), {**CLAUDE_CODE, **SDK}),
    "a request of no name": Sent(bare("quota"), {"anthropic-version": "2023-06-01"}),
}
