"""What scenarios would do, shown without a server: `mock-server preview`, `explain` and `faults`."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mock_server.api.matrix import USUAL, Variant, faults
from mock_server.commands.shared import Paint, engine_of, meant, read_request
from mock_server.engine.explain import TARGETS, explain, request_to
from mock_server.engine.preview import Previewed, preview
from mock_server.protocol.errors import excerpt
from mock_server.protocol.plan import Plan
from mock_server.protocol.sse import dumps, read_json, readable_payload
from mock_server.scenario.faults import FAULTS
from mock_server.scenario.load import library, load
from mock_server.scenario.node import one_of, several
from mock_server.scenario.writing import dump
from mock_server.settings import Settings

# -- preview --------------------------------------------------------------------------------------------------------

SHOWN = 12  # deltas of one block; the others are counted
_WIDTH = 100


def run_preview(args: argparse.Namespace, settings: Settings) -> int:
    """Show what a scenario sends: every exchange of its script, each event with its time."""
    scenarios = meant(args.name, settings.paths)
    engine = engine_of(settings, scenarios)
    request, headers = read_request(args.request) if args.request else (None, {})
    stream = False if args.json else True if request is None else None
    paint = Paint()
    for scenario in scenarios:
        if scenario.is_overlay:
            print(f"{scenario.name} answers nothing itself: it is laid over the replies of others", end="\n\n")
        for one in preview(engine, engine.in_force, scenario, request, headers, stream=stream):
            if args.sse:
                sys.stdout.flush()
                sys.stdout.buffer.write(one.plan.body())
            elif args.json:
                print(_body(one))
            else:
                print("\n".join(timeline(one, len(scenario.turns), scenario.name, paint, all=args.all)), end="\n\n")
    return 0


def preview_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME|FILE", help="a scenario by name, or a file of scenarios")
    parser.add_argument("--request", metavar="FILE", help="answer this request instead of a made-up one")
    parser.add_argument("--sse", action="store_true", help="the raw bytes of each body")
    parser.add_argument("--json", action="store_true", help="the replies as JSON")
    parser.add_argument("--all", action="store_true", help="every delta, however many")


def timeline(one: Previewed, turns: int, name: str, paint: Paint, *, all: bool = False) -> Iterator[str]:
    """The lines of one exchange."""
    status = paint("green" if one.plan.status == 200 else "red", str(one.plan.status))
    place = f"turn {one.turn} of {turns}" + (f", attempt {one.attempt}" if one.attempt > 1 else "")
    yield f"{paint('bold', one.scenario or name)}  {place if one.scenario else 'not matched'}  {status}"
    yield paint("dim", f"  asked: {newest_message(one.request)}")
    if one.note:
        yield from (f"  {line}" for line in one.note.splitlines())
    yield from (paint("red", f"  contradicts: {text}") for text in one.contradictions)
    if one.faults:
        yield paint("red", f"  faults: {', '.join(one.faults)}")
    if not one.plan.stream:
        yield from (f"  {line}" for line in _body(one).splitlines())
        return
    yield from _events(one, paint, sys.maxsize if all else SHOWN)


def _body(one: Previewed) -> str:
    """The reply as JSON; of one that faults have been at, what is sent, whether that is JSON or not."""
    if one.plan.intact is None or one.plan.stream:
        return json.dumps(one.reply, ensure_ascii=False, indent=2)
    body = read_json(one.plan.body())
    if body is None:
        return one.plan.body().decode("utf-8", "replace")
    return json.dumps(body, ensure_ascii=False, indent=2)


def newest_message(request: Mapping[str, Any]) -> str:
    """The newest message of a request in a line."""
    messages = request.get("messages") or [{}]
    content = messages[-1].get("content", "") if isinstance(messages[-1], dict) else ""
    texts = [content] if isinstance(content, str) else [_block(block) for block in content if isinstance(block, dict)]
    text = _cut(" + ".join(texts), 80)
    tools = ", ".join(str(tool.get("name")) for tool in request.get("tools") or ())
    return text + (f"  tools: {_cut(tools, 60)}" if tools else "")


def _block(block: Mapping[str, Any]) -> str:
    return str(block.get("text") or block.get("content") or block.get("type"))


def _events(one: Previewed, paint: Paint, most: int) -> Iterator[str]:
    deltas = 0
    hidden: list[int] = []
    for at, frame in _timed(one.plan):
        if isinstance(frame, str):
            yield paint("red", f"  {at / 1000:>7.0f} ms  {frame}")
            continue
        if not frame:  # a silence that ends in something else
            continue
        event = readable_payload(frame)
        deltas = deltas + 1 if event["type"] == "content_block_delta" else 0
        if deltas > most:
            hidden.append(at)
            continue
        if hidden:
            yield paint("dim", f"  {'':>10}  … {len(hidden)} more deltas until {hidden[-1] / 1000:.0f} ms")
            hidden = []
        kind = paint("cyan", event["type"].ljust(19))
        yield f"  {at / 1000:>7.0f} ms  {kind}  {_cut(_event_line(event), _WIDTH)}"


def _timed(plan: Plan) -> Iterator[tuple[int, bytes | str]]:
    """Every frame with its time; what it waits for and how it is ended in words."""
    start = 0
    for part in plan.parts:
        if part.wait is not None:
            yield start, f"held by the gate '{part.wait.gate}'" if part.wait.gate else "held until the client leaves"
        yield from ((start + at, frame) for at, frame in zip(part.at, part.frames, strict=True))
        start += part.at[-1] if part.at else 0
    ending = None if plan.manner is None else plan.manner.ending
    if ending is not None:
        yield start, _ENDINGS[ending]


_ENDINGS = {
    "end": "the body ends here",
    "close": "the connection is closed, the body left open",
    "reset": "the connection is reset",
}


def _event_line(event: Mapping[str, Any]) -> str:
    """An event in a line; one that is broken, as it is."""
    try:
        return _LINES[event["type"]](event) if event["type"] in _LINES else dumps(_rest(event))
    except (KeyError, TypeError, AttributeError):
        return dumps(_rest(event))


def _rest(event: Mapping[str, Any]) -> Any:
    return {name: value for name, value in event.items() if name != "type"}


def _delta(event: Mapping[str, Any]) -> str:
    delta = event["delta"]
    value = next((delta[key] for key in ("text", "thinking", "partial_json", "signature") if key in delta), None)
    return f"{event['index']} {delta['type']} {dumps(value if value is not None else delta.get('citation', ''))}"


def _start(event: Mapping[str, Any]) -> str:
    block = event["content_block"]
    more = " ".join(str(block[key]) for key in ("name", "id", "tool_use_id") if block.get(key))
    return f"{event['index']} {block['type']} {more}".rstrip()


def _end(event: Mapping[str, Any]) -> str:
    delta = {key: value for key, value in event["delta"].items() if value is not None}
    return " ".join([f"{key} {value}" for key, value in delta.items()] + [f"usage {dumps(event['usage'])}"])


_LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "message_start": lambda event: f"{event['message']['id']} {event['message']['model']}",
    "content_block_start": _start,
    "content_block_delta": _delta,
    "ping": lambda event: "",
    "message_stop": lambda event: "",
    "content_block_stop": lambda event: str(event["index"]),
    "message_delta": _end,
}


def _cut(text: str, most: int) -> str:
    line = " ".join(str(text).split(" "))
    return excerpt(line.replace("\n", "\\n"), most)


# -- explain ----------------------------------------------------------------------------------------------------------


def run_explain(args: argparse.Namespace, settings: Settings) -> int:
    """Tell which scenario answers a request, which turn of it and why; exit 1 when none does."""
    body, headers = read_request(args.request)
    for one in args.header or ():
        name, _, text = one.partition(":")
        headers[name.strip().lower()] = text.strip()
    engine = engine_of(settings, load(settings.paths or (library(),)))
    headers.setdefault("anthropic-version", engine.profile.default_version)
    session = engine.sessions.default
    states = engine.library(session).states
    for one in args.state or ():
        name, _, value = one.partition(":")
        if name not in states or value not in states[name].values:
            known = "; ".join(f"{name}: {', '.join(state.values)}" for name, state in states.items()) or "none"
            print(f"no state {one}; there are {known}", file=sys.stderr)
            return 2
        session.move(engine.library(session), {name: value})
    found = explain(engine, session, request_to(args.endpoint, body, headers))
    print(json.dumps(found.as_json(), ensure_ascii=False, indent=2) if args.json else found)
    return 0 if found.matched and not found.differences else 1


def explain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request", metavar="REQUEST", help="a file with the request's JSON body; - for standard input")
    parser.add_argument(
        "--endpoint",
        choices=tuple(TARGETS),
        default="messages",
        metavar="NAME",
        help="where it goes: messages (default), count_tokens, models.list, …, as `when: {endpoint: NAME}` has it",
    )
    parser.add_argument("--header", action="append", metavar="NAME:VALUE", help="a header of the request; repeatable")
    parser.add_argument(
        "--state", action="append", metavar="NAME:VALUE", help="a state that the request finds; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="the explanation as JSON")


# -- faults -----------------------------------------------------------------------------------------------------------


def run_faults(args: argparse.Namespace, settings: Settings) -> int:
    """List one variant of a scenario for every fault at every event; with --yaml print them as scenarios."""
    chosen = tuple(args.fault or USUAL)
    variants = [one for each in meant(args.name, settings.paths) for one in faults(each, chosen, once=args.once)]
    if args.yaml:
        sys.stdout.write("---\n".join(_document(one) for one in variants))
        return 0
    for one in variants:
        print(
            f"{one.name:<44} turn {one.turn}  {one.text:<40}  {one.next_event and 'before ' + one.next_event}".rstrip()
        )
    print(several(len(variants), "variant"), file=sys.stderr)
    return 0


def faults_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME|FILE", help="a scenario by name, or a file of scenarios")
    parser.add_argument(
        "--fault",
        action="append",
        type=_known,
        metavar="FAULT",
        help="only this fault, with its keys as in the header: 'edit;remove=index' (repeatable)",
    )
    parser.add_argument("--once", action="store_true", help="only the first try of a request meets the fault")
    parser.add_argument("--yaml", action="store_true", help="the variants as scenarios that answer by their names")


def _known(text: str) -> str:
    """A fault by name, perhaps with keys."""
    name = text.split(";")[0].strip()
    if name not in FAULTS and not text.lstrip().startswith("{"):
        raise argparse.ArgumentTypeError(f"unknown fault '{name}'{one_of(name, FAULTS)}")
    return text


def _document(variant: Variant) -> str:
    data = {**variant.data, "name": variant.name, "when": "named"}
    return dump({"name": data.pop("name"), **data})
