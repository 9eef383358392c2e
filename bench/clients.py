"""Which clients' calls are read the short way: the share of sequential calls that never enter aiohttp's parser.

`python bench/clients.py`. Clients that are not installed are left out, and said so.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable

from aiohttp.web_protocol import RequestHandler

from mock_server.api.local import MockServer

CALLS = 40
BODY = {"model": "claude-haiku-4-5", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}]}
NODE = """
const [url, calls, body] = process.argv.slice(1);
const headers = {"content-type": "application/json", "x-api-key": "k", "anthropic-version": "2023-06-01"};
(async () => { for (let i = 0; i < calls; i++) await (await fetch(url + "/v1/messages", {method: "POST", headers, body})).text(); })();
"""


def python_sdk(url: str) -> None:
    import anthropic

    with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as client:
        for _ in range(CALLS):
            client.messages.create(**BODY)


def requests(url: str) -> None:
    import requests

    with requests.Session() as session:
        for _ in range(CALLS):
            session.post(f"{url}/v1/messages", json=BODY, headers={"x-api-key": "k"}).raise_for_status()


def node(url: str) -> None:
    subprocess.run(["node", "-e", NODE, url, str(CALLS), json.dumps(BODY)], check=True)


CLIENTS: dict[str, tuple[Callable[[str], None], Callable[[], object]]] = {
    "Python SDK": (python_sdk, lambda: importlib.util.find_spec("anthropic")),
    "requests": (requests, lambda: importlib.util.find_spec("requests")),
    "node fetch": (node, lambda: shutil.which("node")),
}


def share(client: Callable[[str], None]) -> float:
    """The share of a client's calls of which aiohttp's parser saw nothing."""
    entered, parse = [0], RequestHandler.data_received

    def counting(self: RequestHandler, data: bytes) -> None:
        entered[0] += data.startswith(b"POST ")  # the body may come behind it
        parse(self, data)

    RequestHandler.data_received = counting  # type: ignore[method-assign]
    try:
        with MockServer(unmatched="generate") as server:
            client(server.url)
    finally:
        RequestHandler.data_received = parse  # type: ignore[method-assign]
    return max(0.0, 1 - entered[0] / CALLS)


def measured() -> dict[str, float]:
    """The share of each client that is here, and of all of them together."""
    found = {}
    for name, (client, is_here) in CLIENTS.items():
        if is_here():
            found[name] = share(client)
        else:
            print(f"left out: {name} is not installed", file=sys.stderr)
    return {**found, "all": sum(found.values()) / len(found)} if found else {}


if __name__ == "__main__":
    for name, value in measured().items():
        print(f"{name:12} {value:.2f}")
