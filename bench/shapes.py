#!/usr/bin/env python3
"""CPU time of a running server per request, for the shapes of request that agents send; black box, over a socket.

    shapes.py [--only NAME,…] [--rounds 3] [--json FILE] [--serve 'CMD {port}'] [--against 'CMD {port}']

CPU is user + system of the server's process tree, so a busy neighbour matters little. Both servers are up and asked in turn; the last column is the ratio. Where nothing else
is said they are this tree's own and `servers/parsing.py`, an aiohttp handler that only parses the body.
Every request is a whole POST in one send on one kept connection; `unique` ones differ in the prompt, `grown` is one conversation of which each request has two messages more than the one before.
The server must answer 200 to `claude-haiku-4-5`; the scenario file bodies/shapes.yaml answers prompts with "bench json" at once.
"""
import argparse, json, os, pathlib, random, shlex, socket, statistics, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent
SERVE = f"{sys.executable} -m mock_server serve {HERE}/bodies/shapes.yaml --time-scale 0 --log-level error --port {{port}}"
AGAINST = f"{sys.executable} {HERE}/servers/parsing.py --port {{port}}"
TICK = os.sysconf("SC_CLK_TCK")
MODEL = "claude-haiku-4-5"
WORDS = "report figure weekly station answer window paper number river signal table garden winter letter engine market".split()
R = random.Random(5)


def words(n):
    return " ".join(R.choice(WORDS) for _ in range(n))


def tool(i):
    props = {f"field_{j}": {"type": "string", "description": words(12)} for j in range(8)}
    return {"name": f"tool_{i}", "description": words(60), "input_schema": {"type": "object", "properties": props, "required": ["field_0"]}}


TOOLS = [tool(i) for i in range(24)]
LONG = words(130)


def body(prompt, **more):
    return json.dumps({"model": MODEL, "max_tokens": 1024, **more, "messages": [{"role": "user", "content": prompt}]}).encode()


def rounds(n):
    out = [{"role": "user", "content": f"bench json {words(40)}"}]
    for i in range(n):
        out.append({"role": "assistant", "content": [{"type": "text", "text": words(20)}, {"type": "tool_use", "id": f"toolu_x{i:04}", "name": "tool_1", "input": {"field_0": words(10)}}]})
        out.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"toolu_x{i:04}", "content": words(40)}]})
    return out


STEPS = 50
STORY = rounds(250 + STEPS)
MARK = {"type": "ephemeral"}


def grown(i, marks=False, tools=(), base=100):
    """The conversation number i // STEPS after `base` + i % STEPS rounds, of two messages each."""
    story, step = divmod(i, STEPS)
    messages = STORY[: 2 * (base + step) + 1]
    messages[0] = {"role": "user", "content": f"bench json {story} {STORY[0]['content']}"}
    if marks:
        last = messages[-1]
        messages = [*messages[:-1], {**last, "content": [{**last["content"][0], "cache_control": MARK}]}]
    system = [{"type": "text", "text": "You are a helpful assistant.", **({"cache_control": MARK} if marks else {})}]
    return json.dumps({"model": MODEL, "max_tokens": 1024, "system": system, **({"tools": list(tools)} if tools else {}), "messages": messages}).encode()


SHAPES = {  # name: (requests of a round, path, body of request number i)
    "1 KB, same bytes": (3000, "/v1/messages", lambda i: body(f"bench json {LONG}")),
    "1 KB, every prompt different": (3000, "/v1/messages", lambda i: body(f"bench json number {i:07} {LONG}")),
    "every prompt different, as a text block": (3000, "/v1/messages", lambda i: body([{"type": "text", "text": f"bench json number {i:07} {LONG}"}])),
    "every prompt different, a block with cache_control": (2000, "/v1/messages", lambda i: body([{"type": "text", "text": f"bench json number {i:07} {LONG}", "cache_control": MARK}])),
    "every prompt different, streamed": (2000, "/v1/messages", lambda i: body(f"bench stream number {i:07} {LONG}", stream=True)),
    "nothing matches: generated": (300, "/v1/messages", lambda i: body(f"what is number {i:07} {LONG}")),
    "template reply": (1000, "/v1/messages", lambda i: body(f"bench template number {i:07} {LONG}")),
    "count_tokens": (2000, "/v1/messages/count_tokens", lambda i: json.dumps({"model": MODEL, "messages": [{"role": "user", "content": f"number {i:07} {LONG}"}]}).encode()),
    "24 tools, every prompt different": (500, "/v1/messages", lambda i: body(f"bench json number {i:07} {LONG}", tools=TOOLS)),
    "conversation of 200 messages, same bytes": (200, "/v1/messages", lambda i: grown(0)),
    "conversation growing from 200 messages": (200, "/v1/messages", lambda i: grown(i)),
    "conversation growing from 20 messages": (500, "/v1/messages", lambda i: grown(i, base=10)),
    "conversation growing from 500 messages": (150, "/v1/messages", lambda i: grown(i, base=250)),
    "200 messages, with cache marks": (200, "/v1/messages", lambda i: grown(i, True)),
    "200 messages, with cache marks and 24 tools": (200, "/v1/messages", lambda i: grown(i, True, TOOLS)),
}


def cpu(pid):
    """seconds of CPU of a process and its children, to the nanosecond where the system counts them"""
    total, todo = 0.0, [pid]
    while todo:
        one = todo.pop()
        try:
            todo += map(int, open(f"/proc/{one}/task/{one}/children").read().split())
            for task in os.listdir(f"/proc/{one}/task"):
                total += seconds(f"/proc/{one}/task/{task}")
        except OSError:
            pass
    return total


def seconds(task):
    """the same of one thread"""
    try:
        return int(open(f"{task}/schedstat").read().split()[0]) / 1e9
    except OSError:
        fields = open(f"{task}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK


class Server:
    def __init__(self, command):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0)); self.port = s.getsockname()[1]
        self.process = subprocess.Popen(shlex.split(command.format(port=self.port)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(400):
            try:
                self.sock = socket.create_connection(("127.0.0.1", self.port)); break
            except OSError:
                time.sleep(0.02)
        else:
            sys.exit(f"does not listen: {command}")
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, path, data):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\nContent-Length: {len(data)}\r\n\r\n"
        self.sock.sendall(head.encode() + data)
        got = b""
        while b"\r\n\r\n" not in got:
            more = self.sock.recv(1 << 20)
            if not more:
                sys.exit(f"closed after {got[:200]!r}")
            got += more
        top, _, rest = got.partition(b"\r\n\r\n")
        low = top.lower()
        if b"chunked" in low:
            while not rest.endswith(b"0\r\n\r\n"):
                rest += self.sock.recv(1 << 20)
        else:
            length = int(low.split(b"content-length:")[1].split(b"\r\n")[0])
            while len(rest) < length:
                rest += self.sock.recv(1 << 20)
        if b" 200 " not in top.split(b"\r\n")[0] + b" ":
            sys.exit(f"{top.splitlines()[0]!r}: {rest[:200]!r}")


def measure(server, shape):
    n, path, make = SHAPES[shape]
    bodies = [make(i + server.turn * n) for i in range(n)]
    server.turn += 1
    for one in bodies[: max(1, n // 20)]:
        server.ask(path, one)
    start = cpu(server.process.pid)
    for one in bodies[max(1, n // 20):]:
        server.ask(path, one)
    return (cpu(server.process.pid) - start) / (n - max(1, n // 20)) * 1e6, len(bodies[0])


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--serve", default=SERVE); a.add_argument("--against", default=AGAINST); a.add_argument("--only", default=""); a.add_argument("--rounds", type=int, default=3); a.add_argument("--json")
    o = a.parse_args()
    servers = [Server(c) for c in (o.serve, o.against) if c]
    for one in servers:
        one.turn = 0
    out = {}
    print(f"| shape | bytes | us of CPU a request |{' against | ratio |' if o.against else ''}\n|---|---|---|{'---|---|' if o.against else ''}")
    try:
        for shape in SHAPES:
            if o.only and not any(part in shape for part in o.only.split(",")):
                continue
            for one in servers:
                one.turn = 0
            got = [[measure(s, shape) for s in servers] for _ in range(o.rounds)]
            us = [statistics.median(r[i][0] for r in got) for i in range(len(servers))]
            out[shape] = {"bytes": got[0][0][1], "us": us[0], "against": us[1] if o.against else None}
            print(f"| {shape} | {got[0][0][1]:,} | {us[0]:,.0f} |" + (f" {us[1]:,.0f} | {us[0] / us[1]:.2f} |" if o.against else ""), flush=True)
    finally:
        for s in servers:
            s.process.terminate()
    if o.json:
        pathlib.Path(o.json).write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
