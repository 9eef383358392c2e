"""Installs a wheel into a clean environment and serves the library from an empty folder with it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path


def main(wheel: Path) -> int:
    """Exit 0 when the installed command serves every scenario of the checkout and stops cleanly."""
    scenarios = sum(len(re.findall(r"(?m)^name: ", file.read_text())) for file in Path("scenarios").glob("*.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "venv", "bin", "python")
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", wheel.resolve()], check=True)
        command = [python.parent / "mock-server", "--port", "0", "--time-scale", "0"]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().removeprefix("mock-server listening on ").strip()
                check(url, scenarios)
            finally:
                server.send_signal(signal.SIGTERM)
            return server.wait(10)


def check(url: str, scenarios: int) -> None:
    """Health counts the whole library, and a scenario of it answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    health = json.load(opener.open(f"{url}/_mock/health", timeout=10))
    assert health["scenarios"] == scenarios, health
    body = {"model": "claude-opus-4-8", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"x-api-key": "any", "x-mock-scenario": "hello", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/messages", json.dumps(body).encode(), headers)
    message = json.load(opener.open(request, timeout=10))
    assert message["content"][0]["type"] == "text", message
    print(f"{health['scenarios']} scenarios served from the wheel, version {health['version']}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
