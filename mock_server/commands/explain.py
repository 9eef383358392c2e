"""`mock-server explain`: which scenario answers a request and why, or what came near."""

import argparse
import json
import sys

from mock_server.commands.shared import engine_of, read_request
from mock_server.engine.explain import explain
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario.load import library, load
from mock_server.settings import Settings


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Tell which scenario answers a request, which turn of it and why; exit 1 when none does."""
    body, headers = read_request(given.request)
    for one in given.header or ():
        name, _, text = one.partition(":")
        headers[name.strip().lower()] = text.strip()
    engine = engine_of(settings, load(settings.paths or (library(),)))
    headers.setdefault("anthropic-version", engine.profile.default_version)
    session = engine.sessions.default
    states = engine.library(session).states
    for one in given.state or ():
        name, _, value = one.partition(":")
        if name not in states or value not in states[name].values:
            known = "; ".join(f"{name}: {', '.join(state.values)}" for name, state in states.items()) or "none"
            print(f"no state {one}; there are {known}", file=sys.stderr)
            return 2
        session.move(engine.library(session), {name: value})
    http = HttpRequest("POST", "/v1/messages", headers, encode(dumps(body)))
    found = explain(engine, session, http)
    print(json.dumps(found.as_json(), ensure_ascii=False, indent=2) if given.json else found)
    return 0 if found.matched and not found.differences else 1


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request", metavar="REQUEST", help="a file with the request's JSON body; - for standard input")
    parser.add_argument("--header", action="append", metavar="NAME:VALUE", help="a header of the request; repeatable")
    parser.add_argument(
        "--state", action="append", metavar="NAME:VALUE", help="a state that the request finds; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="the explanation as JSON")
