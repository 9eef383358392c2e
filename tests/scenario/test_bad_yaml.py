"""Every mistake an author can make, with the exact line it gets."""

import math
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from mock_server.scenario.load import build, load, loads
from mock_server.scenario.node import ScenarioError

ENDPOINTS = (
    "messages, batches, batches.create, batches.list, batches.get, batches.delete, batches.cancel, batches.results, files, "
    "files.upload or 9 more"
)
# what is wrong, the text, and the lines it gets (after the file's name)
TABLE: list[tuple[str, str, list[str]]] = [
    (
        "unknown key of a scenario",
        "name: a\nrepyl: hi",
        [
            "2:1: unknown key 'repyl' in scenario; did you mean 'reply'? Expected one of name, when, reply, turns, error, cases, attempts, timing, fault, priority or 26 more"
        ],
    ),
    (
        "unknown key of a turn",
        "name: a\nturns:\n  - repyl: hi",
        [
            "3:5: unknown key 'repyl' in answer; did you mean 'reply'? Expected one of reply, error, when, cases, attempts, timing, fault, stop_reason, usage, expect or 15 more"
        ],
    ),
    (
        "what becomes of a request in a batch",
        "name: a\nreply: hi\nbatch: expird",
        ["3:8: unknown value 'expird'; did you mean 'expired'? Expected one of expired, canceled"],
    ),
    (
        "a batch beside cases",
        "name: a\nturns:\n  - batch: expired\n    cases: [{reply: hi}]",
        ["3:5: 'batch' belongs beside a reply or an error"],
    ),
    ("no name", "reply: hi", ["1:1: missing key 'name' in scenario; give it one of its own, such as name: greeting"]),
    ("no answer", "name: a", ["1:1: a scenario needs turns, or a reply or error of its own"]),
    ("a name that is a number", "name: 12\nreply: hi", ['1:7: expected text, got a number; write it in quotes: "12"']),
    ("a name with brackets", "name: '[a]'\nreply: hi", ["1:1: a name is one line without brackets"]),
    ("not a mapping", "- a\n- b", ["1:1: expected a scenario (a mapping), got a list"]),
    ("only text", "hello", ["1:1: expected a scenario (a mapping), got text"]),
    ("an empty file", "# nothing\n", ["1:1: no scenario in this file; `mock-server new` prints one to begin with"]),
    ("turns that are no list", "name: a\nturns: hi", ["2:8: expected a list, got text"]),
    ("no turns", "name: a\nturns: []", ["1:1: a scenario needs turns, or a reply or error of its own"]),
    (
        "reply beside turns",
        "name: a\nreply: hi\nturns:\n  - reply: ho",
        ["2:1: 'reply' beside turns; put it inside a turn"],
    ),
    (
        "a turn with two answers",
        "name: a\nturns:\n  - reply: hi\n    error: 529",
        ["4:5: expected exactly one of reply, error, generate, cases, attempts; got reply and error"],
    ),
    (
        "a turn with none",
        "name: a\nturns:\n  - timing: fast",
        ["3:5: expected exactly one of reply, error, generate, cases, attempts; got none of them"],
    ),
    (
        "unknown block",
        "name: a\nreply:\n  - {type: tetx, text: hi}",
        [
            "3:12: unknown type 'tetx'; did you mean 'text'? Expected one of text, thinking, redacted_thinking, tool_use, server_tool_use, web_search_tool_result, web_fetch_tool_result, code_execution_tool_result, bash_code_execution_tool_result, text_editor_code_execution_tool_result or 8 more"
        ],
    ),
    (
        "a type that is no name",
        "name: a\nreply: x\nfault: {type: [stall]}",
        [
            "3:15: expected the name of a type, got a list; one of error, error_event, disconnect, reset, empty_response, stall, trickle, truncate, garbage, slow_headers or 17 more"
        ],
    ),
    (
        "unknown key of a block",
        "name: a\nreply:\n  - {type: tool_use, nam: f, input: {}}",
        ["3:22: unknown key 'nam' in tool_use; did you mean 'name'? Expected one of name, input, id, caller"],
    ),
    ("a field missing", "name: a\nreply:\n  - {type: thinking}", ["3:5: missing key 'thinking' in thinking"]),
    (
        "an input that is no mapping",
        "name: a\nreply:\n  - {type: tool_use, name: f, input: hi}",
        ["3:38: expected a mapping, got text"],
    ),
    (
        "unknown timing",
        "name: a\nreply: hi\ntiming: fats",
        [
            "3:9: unknown timing 'fats'; did you mean 'fast'? Expected one of instant, fast, realistic, slow or a mapping"
        ],
    ),
    (
        "a duration without a unit",
        "name: a\nreply: hi\ntiming: {first: 250}",
        ["3:17: expected a duration such as 250ms or 2s, got 250; did you mean '250s' or '250ms'?"],
    ),
    (
        "a duration over an hour",
        "name: a\nreply: hi\ntiming: {first: 90m}",
        ["3:17: expected a duration of an hour at most, got '90m'"],
    ),
    (
        "a rate of nothing",
        "name: a\nreply: hi\ntiming: {rate: 0/s}",
        ["3:16: expected a rate in tokens per second such as 80/s, got '0/s'"],
    ),
    (
        "a share without a sign",
        "name: a\nreply: hi\ntiming: {jitter: 0.2}",
        ["3:18: expected a share from 0% to 100% such as 20%, got 0.2"],
    ),
    (
        "unknown chunk",
        "name: a\nreply: hi\ntiming: {chunk: wrod}",
        [
            "3:17: unknown chunk 'wrod'; did you mean 'word'? Expected one of token, word, sentence, all, a number of characters, or {bytes: 7}"
        ],
    ),
    (
        "gap and rate",
        "name: a\nreply: hi\ntiming: {gap: 1ms, rate: 80/s}",
        ["3:20: a pace is either a gap or a rate, not both"],
    ),
    (
        "unknown error",
        "name: a\nerror: overloded_error",
        [
            "2:8: unknown error type 'overloded_error'; did you mean 'overloaded_error'? Expected one of invalid_request_error, authentication_error, billing_error, permission_error, not_found_error, conflict_error, request_too_large, rate_limit_error, api_error, timeout_error or 1 more, or a status beside it"
        ],
    ),
    ("an error status that is none", "name: a\nerror: 200", ["2:8: an error status is 400 to 599, got 200"]),
    (
        "a status without a type of its own",
        "name: a\nerror: 418",
        ["2:8: status 418 has no error type of its own; add a type"],
    ),
    (
        "unknown stop reason",
        "name: a\nreply: hi\nstop_reason: pause",
        [
            "3:14: unknown value 'pause'; did you mean 'pause_turn'? Expected one of end_turn, tool_use, pause_turn, refusal, stop_sequence, max_tokens, model_context_window_exceeded, compaction"
        ],
    ),
    (
        "a pause without a server tool",
        "name: a\nreply: hi\nstop_reason: pause_turn",
        ["3:1: a reply that pauses must hold a server tool's block (server_tool_use)"],
    ),
    (
        "tool_use without a call",
        "name: a\nreply: hi\nstop_reason: tool_use",
        ["3:1: stop_reason tool_use without a tool_use block"],
    ),
    (
        "a result without a call",
        "name: a\nturns:\n  - reply: [{type: web_search_tool_result, content: []}]",
        ["3:5: web_search_tool_result without a server_tool_use before it"],
    ),
    (
        "stop_reason beside an error",
        "name: a\nturns:\n  - error: 529\n    stop_reason: end_turn",
        ["4:5: 'stop_reason' belongs beside a reply"],
    ),
    (
        "a header that is no text",
        "name: a\nreply: hi\nheaders: {x-a: 1}",
        ["3:11: expected text; write the value in quotes"],
    ),
    (
        "a turn that can never be reached",
        "name: a\nanchor: prompt\nturns: [one, two]",
        ["2:1: with anchor: prompt turn 2 can never be reached: turn 1 ends the exchange"],
    ),
    (
        "a case that can never be reached",
        "name: a\nturns:\n  - cases:\n      - reply: one\n      - reply: two",
        ["5:9: this case can never be reached: case 1 has neither when nor chance; put that one last"],
    ),
    (
        "cases inside cases",
        "name: a\nturns:\n  - cases:\n      - cases:\n          - reply: one",
        ["4:9: a case may hold attempts, not cases"],
    ),
    (
        "attempts with conditions",
        "name: a\nturns:\n  - attempts:\n      - {when: {turn: 1}, reply: one}",
        ["4:10: attempts are taken in order; 'when' belongs to cases"],
    ),
    (
        "a turn with a condition",
        "name: a\nturns:\n  - {when: {turn: 1}, reply: one}",
        ["3:6: a turn has no when of its own; put it in cases"],
    ),
    ("times of nothing", "name: a\nreply: hi\ntimes: 0", ["3:1: times is 1 or more"]),
    (
        "unknown anchor",
        "name: a\nreply: hi\nanchor: promt",
        ["3:9: unknown value 'promt'; did you mean 'prompt'? Expected one of prompt, conversation, session"],
    ),
    (
        "unknown condition",
        "name: a\nwhen: {promt: x}\nreply: hi",
        [
            "2:8: unknown key 'promt' in when; did you mean 'prompt'? Expected one of prompt, last_message, system, model, tools, tool_choice, tool_result, stream, has, header or 7 more"
        ],
    ),
    (
        "a condition for cases only",
        "name: a\nwhen: {turn: 2}\nreply: hi",
        ["2:8: 'turn' can be asked only in a case: here it is circular"],
    ),
    (
        "an empty pattern",
        "name: a\nwhen: {prompt: ''}\nreply: hi",
        ["2:16: an empty pattern matches everything; leave the condition out instead"],
    ),
    (
        "a pattern that is a number",
        "name: a\nwhen: {model: 4}\nreply: hi",
        ['2:15: expected text, got a number; write it in quotes: "4"'],
    ),
    (
        "a broken regular expression",
        "name: a\nwhen: {prompt: {regex: '('}}\nreply: hi",
        [
            "2:24: not a regular expression: missing ), unterminated subpattern at position 0; a sign that is meant as itself has a \\ before it"
        ],
    ),
    (
        "unknown operator",
        "name: a\nwhen: {prompt: {contain: x}}\nreply: hi",
        [
            "2:17: unknown key 'contain' in the condition; did you mean 'contains'? Expected one of equals, contains, regex, glob, in, gt, gte, lt, lte, exists or 1 more"
        ],
    ),
    ("an empty when", "name: a\nwhen: {}\nreply: hi", ["2:7: an empty when; leave the key out to answer everything"]),
    (
        "a when that is a text",
        "name: a\nwhen: weather\nreply: hi",
        ["2:7: expected a mapping of conditions, got text; for example {prompt: weather}"],
    ),
    (
        "stream that is no truth",
        "name: a\nwhen: {stream: 1}\nreply: hi",
        ["2:16: expected true or false, got a number"],
    ),
    (
        "a key twice",
        "name: a\nreply: hi\nname: b",
        ["3:1: duplicate key 'name'; first on line 1; another scenario begins behind a line with ---"],
    ),
    (
        "a name twice",
        "name: a\nreply: hi\n---\nname: a\nreply: ho",
        ["4: duplicate name 'a'; first in bad.yaml:1; rename one"],
    ),
    (
        "a tag of Python",
        "name: !!python/name:os.system a\nreply: hi",
        ["1:7: the tag tag:yaml.org,2002:python/name:os.system is not used here; write plain values"],
    ),
    ("a key that is a list", "name: a\nreply: hi\n? [a]\n: b", ["3:3: a key is one word, not a list or a mapping"]),
    ("a whole number that is none", "name: a\ntimes: !!int abc\nreply: hi", ["2:8: 'abc' is not a whole number"]),
    ("a number that is none", "name: a\npriority: !!float abc\nreply: hi", ["2:11: 'abc' is not a number"]),
    ("not a number", "name: a\npriority: !!float .nan\nreply: hi", ["2:11: '.nan' is not a number"]),
    ("a truth that is none", "name: a\nwhen: {stream: !!bool yes}\nreply: hi", ["2:16: 'yes' is not true or false"]),
    ("a nothing that is something", "name: a\nreply: hi\nstop_sequence: !!null x", ["3:16: 'x' is not null"]),
    (
        "keys with nothing behind them",
        "name: a\nwhen:\nfault:\ntimes:\nreply: hi\nthen:\nexpect:\ngate:\ntiming:",
        [
            "2:1: nothing stands behind 'when'; leave the key out",
            "3:1: nothing stands behind 'fault'; leave the key out",
            "4:1: nothing stands behind 'times'; leave the key out",
            "6:1: nothing stands behind 'then'; leave the key out",
            "7:1: nothing stands behind 'expect'; leave the key out",
            "8:1: nothing stands behind 'gate'; leave the key out",
            "9:1: nothing stands behind 'timing'; leave the key out",
        ],
    ),
    (
        "a place, a pace and a chance of nothing",
        "name: a\nturns:\n  - cases:\n      - chance:\n        reply: a\n      - reply: b\n"
        "        fault: {type: disconnect, after: }\n        timing: {gap: , first: 1s}",
        [
            "4:9: nothing stands behind 'chance'; leave the key out",
            "7:35: nothing stands behind 'after'; leave the key out",
            "8:18: nothing stands behind 'gap'; leave the key out",
        ],
    ),
    (
        "a block or a fault without its type",
        "name: a\nreply: {tool_use: f, input: {}}\nfault: {disconnect: {after: 3}}",
        [
            "2:8: missing key 'type'; did you mean {type: tool_use, …}?",
            "3:8: missing key 'type'; did you mean {type: disconnect, …}?",
        ],
    ),
    (
        "a place that is a time, an event or a number",
        "name: a\nreply: hi\nfault:\n  - {type: disconnect, after: 121s}\n  - {type: disconnect, after: mesage_delta}\n"
        "  - {type: disconnect, at: 3}",
        [
            "4:31: expected a number of deltas, or a counter with its number such as {events: 3}; got '121s'; a time is "
            "written {time: 121s}",
            "5:31: expected a number of deltas, or a counter with its number such as {events: 3}; got 'mesage_delta'; an "
            "event is written {event: message_delta}, and right before it is `at: message_delta`",
            "6:28: expected an event such as message_delta, or {event: message_stop, bytes: 30}; got 3; behind so many "
            "deltas is `after: 3`",
        ],
    ),
    (
        "a habit of frames that is switched off",
        "name: a\nreply: hi\nfault: {type: wire, crlf: false}",
        ["3:27: expected true, got false; a habit that is not wanted is left out"],
    ),
    (
        "a place in a reply that the fault before has replaced",
        "name: a\nreply: hi\nfault: [html_error, {type: disconnect, after: 1}]\n---\n"
        "name: b\nreply: hi\nfault: [{type: error, error: 429}, {type: reset, at: message_stop}]",
        [
            "3:21: disconnect after 1 delta: a reply that is no message has no events",
            "7:36: reset: at message_stop: a reply that is no message has no events",
        ],
    ),
    (
        "an overlay that moves a state",
        "name: a\nstates: {s: [up, down]}\nfault: disconnect\nthen: {state: {s: down}}",
        [
            "3:1: expected exactly one of reply, error, generate, cases, attempts; got none of them, and 'then' stands "
            "beside one"
        ],
    ),
    (
        "what stands beside an error, inside",
        "name: a\nerror: {type: api_error, fault: disconnect}",
        ["2:26: unknown key 'fault' in error; it stands beside error, not inside"],
    ),
    ("a status in quotes", 'name: a\nerror: "529"', ["2:8: a status is a number; write it without quotes: 529"]),
    (
        "quotes inside of quotes",
        'name: a\nreply: "say "hello" to"',
        [
            "2:14: not YAML: the text goes on behind its closing quote; put all of it in quotes: 'say \"hello\" to'",
        ],
    ),
    (
        "a text of lines that is not indented",
        "name: a\nreply: |\nhello",
        ["3:1: not YAML: the text behind the | of line 2 is indented by two spaces"],
    ),
    (
        "scenarios in a list",
        "scenarios:\n  - {name: a, reply: hi}",
        ["1:1: scenarios are no list: each stands at the top of the file, with a line with --- between two"],
    ),
    ("an answer that is none", "name: a\nattempts: [529]", ["2:12: expected an answer (a mapping), got a number"]),
    (
        "a number that no float holds",
        "name: a\nreply: {type: tool_use, name: t, input: {x: 1e999}}",
        ["2:45: '1e999': inf is no number of JSON"],
    ),
    (
        "a number of 4,301 digits",
        f"name: a\nreply: {{type: tool_use, name: t, input: {{x: 1{'0' * 4300}}}}}",
        ["2:45: a number of more than 4,300 digits"],
    ),
    (
        "a set, which JSON does not have",
        "name: a\nreply: {type: tool_use, name: t, input: {x: !!set {a}}}",
        ["2:45: the tag tag:yaml.org,2002:set is not used here; write plain values"],
    ),
    (
        "a key with a tag",
        "name: a\n!!binary aGk=: b\nreply: hi",
        [
            "2:1: the tag tag:yaml.org,2002:binary is not used here; write plain values",
            "2:1: unknown key 'aGk=' in scenario; expected one of name, when, reply, turns, error, cases, attempts, timing, fault, priority or 26 more",
        ],
    ),
    (
        "101 levels",
        f"name: a\nreply: {{type: tool_use, name: t, input: {'{a: ' * 101}1{'}' * 101}}}",
        [f"2:{8 + 37 + 4 * 98}: nested more than 100 levels deep"],
    ),
    (
        "half a character",
        "name: a\nreply: h\ud83di",
        ["2:9: not YAML: half a character (the lone surrogate U+D83D)"],
    ),
    (
        "a control character behind others",
        "name: a\nreply: äöü\x07",
        ["2:11: not YAML: a character that is not allowed (U+0007); take it out"],
    ),
    (
        "a state that nothing declares",
        "name: a\nwhen: {state: {service: down}}\nreply: hi",
        ["2:16: no state 'service'; declare it at the top: states: {NAME: [up, down]}"],
    ),
    (
        "a state and values with slips of the pen",
        "states: {service: [up, down]}\n---\nname: a\nwhen: {not: {state: {servce: down}}}\n"
        "turns:\n  - cases:\n      - {when: {state: {service: [dwn]}}, error: 529, then: {state: {service: uup}}}",
        [
            "4:22: no state 'servce'; did you mean 'service'? Expected one of service",
            "7:35: state 'service' is never 'dwn'; did you mean 'down'? Expected one of up, down",
            "7:79: state 'service' is never 'uup'; did you mean 'up'? Expected one of up, down",
        ],
    ),
    (
        "a state that begins as it never is",
        "states: {service: {values: [up, down], initial: dwn, first: up}}\n---\nname: a\nreply: x\n---\nname: b\nreply: y",
        [
            "1:49: state 'service' is never 'dwn'; did you mean 'down'? Expected one of up, down",
            "1:54: unknown key 'first' in a state; expected one of values, initial",
        ],
    ),
    (
        "states that are none",
        "name: a\nreply: x\nstates: {a: up, b: [up], c: [up, true], d: {initial: up}, e: [up, up]}",
        [
            "3:13: state 'a': expected a list of 2 to 100 values such as [up, down], got text",
            "3:20: state 'b': expected a list of 2 to 100 values such as [up, down], got 1",
            "3:34: state 'c': a value is one line of text, got true or false; write it in quotes",
            "3:44: state 'd' has no values; expected {values: [up, down], initial: up}",
            "3:67: state 'e' has the value 'up' twice",
        ],
    ),
    (
        "no states at all",
        "states: []\n---\nname: a\nreply: x",
        ["1:9: expected a mapping such as {service: [up, down]}, got a list"],
    ),
    (
        "states behind a scenario",
        "name: a\nreply: x\n---\nstates: {a: [b, c]}",
        ["4:1: states: is the first document of its file"],
    ),
    (
        "something else than a state comes of an answer",
        "name: a\nreply: x\nthen: {sate: {a: b}}",
        ["3:8: unknown key 'sate' in then; did you mean 'state'? Expected one of state"],
    ),
    (
        "an endpoint that is none",
        "name: a\nwhen: {endpoint: count_token}\nerror: 500",
        [f"2:18: no endpoint 'count_token'; did you mean 'count_tokens'? Expected one of {ENDPOINTS}"],
    ),
    (
        "endpoints that no request comes to both",
        "name: a\nwhen: {all: [{endpoint: models}, {endpoint: files}]}\nerror: 500",
        ["2:1: no request comes to all of these endpoints"],
    ),
    (
        "an endpoint among conditions of which one will do",
        "name: a\nwhen: {any: [{endpoint: models}, {prompt: x}]}\nerror: 500",
        [
            "2:15: 'endpoint' says what a scenario is for: it stands in its `when`, at the top or in `all`, and nowhere else"
        ],
    ),
    (
        "an endpoint in a case",
        "name: a\nturns: [{cases: [{when: {endpoint: models}, reply: x}]}]",
        [
            "2:26: 'endpoint' says what a scenario is for: it stands in its `when`, at the top or in `all`, and nowhere else"
        ],
    ),
    (
        "a prompt of what has none",
        "name: a\nwhen: {endpoint: [count_tokens, models.list], prompt: x}\nerror: 500",
        ["2:1: 'prompt' cannot be asked of models.list: only endpoint, header, state"],
    ),
    (
        "a message where none is asked for",
        "name: a\nwhen: {endpoint: batches.create}\nanchor: session\nturns: [{reply: x}, {error: 500}]",
        [
            "3:1: 'anchor' is of messages; batches.create has none",
            "4:10: 'reply' is of messages; batches.create can have an error only, or attempts of errors",
            "4:21: batches.create has no conversation: one turn; or attempts, for one request after another",
        ],
    ),
    (
        "a state that an error of another endpoint would move",
        "name: a\nstates: {a: [b, c]}\nwhen: {endpoint: models}\nerror: 500\nthen: {state: {a: c}}",
        ["5:1: 'then' is of messages; models.get can have an error only, or attempts of errors"],
    ),
    (
        "a fault of events where there are none",
        "name: a\nwhen: {endpoint: models.list}\nfault: missing_event",
        ["3:1: missing_event: a JSON reply has no events (models.list)"],
    ),
    (
        "a window that ends before it begins",
        "name: a\nbetween: [10s, 5s]\nfault: reset",
        ["2:16: it ends at 5s, and begins at 10s"],
    ),
    (
        "windows that are none",
        "name: a\nbetween: 10s\nfault: reset\n---\nname: b\nbetween: [1s, soon]\nfault: reset",
        [
            "2:10: expected when it begins and when it ends, such as [10s, 25s]; got text",
            "6:15: expected a duration such as 250ms or 2s, got 'soon'",
        ],
    ),
    (
        "a window of what answers by itself",
        "name: a\nbetween: [1s, 2s]\nreply: x",
        ["2:1: 'between' belongs to an overlay; this scenario has turns"],
    ),
    (
        "several at once, in order",
        "name: a\nwhen: {promt: x}\ntiming: fats\nreply: hi\nstop_reason: pause",
        [
            "2:8: unknown key 'promt' in when; did you mean 'prompt'? Expected one of prompt, last_message, system, model, tools, tool_choice, tool_result, stream, has, header or 7 more",
            "3:9: unknown timing 'fats'; did you mean 'fast'? Expected one of instant, fast, realistic, slow or a mapping",
            "5:14: unknown value 'pause'; did you mean 'pause_turn'? Expected one of end_turn, tool_use, pause_turn, refusal, stop_sequence, max_tokens, model_context_window_exceeded, compaction",
        ],
    ),
]


@pytest.mark.parametrize(("text", "lines"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_mistake_is_one_line_that_says_where_what_and_what_instead(text: str, lines: list[str]) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(text, "bad.yaml")
    assert str(caught.value).split("\n") == [f"bad.yaml:{line}" for line in lines]


def test_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nreply: hi\ntimes: 0")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.yaml").write_text("nam: b\nreply: hi")
    (tmp_path / "c.yaml").write_bytes(b"name: c\nreply: \xff")
    with pytest.raises(ScenarioError) as caught:
        load([tmp_path])
    places = [str(problem).split(": ")[0].removeprefix(f"{tmp_path}/") for problem in caught.value.problems]
    assert places == ["a.yaml:3:1", "c.yaml:2:8", "sub/b.yaml:1:1"]


@pytest.mark.parametrize(
    ("name", "why"),
    [("nowhere.yaml", "no such file or folder"), ("empty", "no scenario files (*.yaml, *.yml) in this folder")],
)
def test_a_path_without_scenarios_is_a_mistake(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScenarioError) as caught:
        load([tmp_path / name])
    assert str(caught.value) == f"{tmp_path / name}: {why}"


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefg", "bcdefgh", strict=True)]
    with pytest.raises(ScenarioError, match=r"^bomb.yaml:1:1: too large: more than 500,000 values"):
        loads("\n".join(lines), "bomb.yaml")


@pytest.mark.parametrize(
    "value", ["yes", "no", "on", "12:30", "01234", "2024-01-01", "1_000", "0x10", "~", ".inf", "1e"]
)
def test_what_yaml_1_1_would_turn_into_something_else_stays_text(value: str) -> None:
    (scenario,) = loads(f"name: a\nreply: {value}")
    reply = scenario.turns[0].reply
    assert reply is not None
    assert reply[0].text == value  # type: ignore[union-attr]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfname: a\nreply: hi")
    assert load([tmp_path])[0].name == "a"


def test_files_are_read_in_name_order_hidden_ones_not_at_all(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "sub/c.yaml", ".hidden.yaml", ".git/d.yaml", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"name: {name.replace('/', '-')}\nreply: hi")
    assert [scenario.name for scenario in load([tmp_path])] == ["a.yml", "b.yaml", "sub-c.yaml"]


def test_a_mistake_in_plain_data_has_no_place_but_says_the_same() -> None:
    with pytest.raises(ScenarioError, match=r"^add\(\): unknown key 'wen' in scenario; did you mean 'when'\? "):
        build({"name": "a", "reply": "hi", "wen": {}}, "add()")


def test_of_60_000_mistakes_a_hundred_are_told_and_the_others_counted(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nreply: hi\n" + "".join(f"repyl{n}: x\n" for n in range(60_000)))
    (tmp_path / "b.yaml").write_text("name: b\nrepyl: hi")
    with pytest.raises(ScenarioError) as caught:
        load([tmp_path])
    told = str(caught.value).split("\n")
    assert len(told) == 101
    assert told[99].startswith(f"{tmp_path}/a.yaml:102:1: unknown key 'repyl99'")
    assert told[100] == "in all files: 59,901 more mistakes"


def test_a_mistake_quotes_no_more_than_a_person_reads() -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(f"name: a\nreply: hi\n? {'x' * 1_000_000}\n: y")
    assert len(str(caught.value)) < 2_100


def test_what_aliases_repeat_is_counted_as_text() -> None:
    with pytest.raises(ScenarioError, match=r"^<text>:1:1: too large: more than 40,000,000 characters$"):
        loads(f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 40)}]")


def odd_files(folder: Path) -> dict[str, str]:
    """Files that are no scenario files, and what is said of each."""
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    (folder / "gone.yaml").symlink_to(folder / "nowhere")
    (folder / "null.yaml").symlink_to("/dev/null")
    os.mkfifo(folder / "pipe.yaml")
    with (folder / "sparse.yaml").open("wb") as file:
        file.truncate(9_000_000_000)
    (folder / "utf-16.yaml").write_bytes("name: a".encode("utf-16"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.yaml"))
    return {
        "loop.yaml": "cannot be read: Too many levels of symbolic links",
        "gone.yaml": "cannot be read: No such file or directory",
        "null.yaml": "a pipe, a device or a socket, not a file",
        "pipe.yaml": "a pipe, a device or a socket, not a file",
        "sparse.yaml": "9,000,000,000 bytes; a scenario file has 10,000,000 at most",
        "utf-16.yaml": "not UTF-8 text",
        "socket.yaml": "cannot be read: No such device or address",
    }


@pytest.mark.skipif(os.name == "nt", reason="pipes and links are POSIX")
def test_a_folder_with_pipes_devices_links_and_a_file_of_9_gb_is_told_of_them_without_reading(tmp_path: Path) -> None:
    said = odd_files(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ScenarioError) as caught:
        load([tmp_path])
    assert {Path(one.source).name: one.text for one in caught.value.problems} == said
    for name, text in said.items():
        if name not in ("gone.yaml", "loop.yaml"):
            with pytest.raises(ScenarioError, match=text):
                load([tmp_path / name])


@pytest.mark.parametrize(
    ("path", "why"),
    [("a" * 5000, "cannot be read: File name too long"), ("a\0b.yaml", "no name of a file: it holds a null character")],
    ids=["long", "null"],
)
def test_a_path_that_cannot_be_one_is_a_mistake(path: str, why: str) -> None:
    with pytest.raises(ScenarioError, match=f"{why}$"):
        load([path])


def itself() -> list[Any]:
    held: list[Any] = []
    held += [held, held]
    return held


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.inf, r"\$\.reply\.input\.x: inf is no number of JSON"),
        (math.nan, r"\$\.reply\.input\.x: nan is no number of JSON"),
        (["h\udc00"], r"\$\.reply\.input\.x\[0\]: half a character \(the lone surrogate U\+DC00\)"),
        ({"\ud83d": 1}, r"\$\.reply\.input\.x: a key: half a character \(the lone surrogate U\+D83D\)"),
        (10**4300, r"\$\.reply\.input\.x: a number of more than 4,300 digits"),
        (b"hi", r"\$\.reply\.input\.x: a value of type bytes is no JSON"),
        (print, r"\$\.reply\.input\.x: a value of type builtin_function_or_method is no JSON"),
        (itself(), "nested more than 100 levels deep, or more than 500,000 values"),
    ],
    ids=["infinity", "NaN", "text", "key", "digits", "bytes", "function", "itself"],
)
def test_plain_data_that_is_no_json_is_a_mistake_too(value: Any, why: str) -> None:
    with pytest.raises(ScenarioError, match=rf"^add\(\): {why}$"):
        build({"name": "a", "reply": {"type": "tool_use", "name": "t", "input": {"x": value}}}, "add()")


def test_what_is_just_within_the_bounds_is_read() -> None:
    deep = "{a: " * 95 + "9" * 4300 + "}" * 95
    (scenario,) = loads(f"name: a\nreply: {{type: tool_use, name: t, input: {deep}}}")
    assert scenario.turns[0].reply is not None
