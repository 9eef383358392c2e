#!/usr/bin/env python3
"""Compare local /v1/messages servers with each other and with the limits of this machine, in one interleaved run.

    ./bench.py targets.json                       # everything, 3 rounds
    ./bench.py targets.json targets.peers.json    # the peers too: what is not installed is left out, and said so
    ./bench.py targets.json --only mock-server --work json,stream --rounds 5 --json out.json
See README.md. Standard library only; needs gcc, make, wrk, taskset and Linux /proc.
"""
import argparse
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
MISSING = "–"


def log(*a):
    print(time.strftime("%H:%M:%S"), *a, file=sys.stderr, flush=True)


def tree(pid):
    """pid and its descendants"""
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        try:
            for t in os.listdir(f"/proc/{p}/task"):
                todo += map(int, pathlib.Path(f"/proc/{p}/task/{t}/children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return out


def usage(pid):
    """(cpu seconds, resident bytes) of the process tree"""
    cpu = rss = 0
    for p in tree(pid):
        try:
            f = pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
            cpu += (int(f[11]) + int(f[12])) / TICKS
            rss += int(f[21]) * PAGE
        except (FileNotFoundError, ProcessLookupError, IndexError):
            pass
    return cpu, rss


def pin(core, cmd):
    return cmd if core is None else ["taskset", "-c", str(core), *cmd]


class Target:
    """One server under test; `spec` is its entry in the targets file merged over `defaults`."""

    def __init__(self, spec, opts):
        self.s, self.o, self.name = spec, opts, spec["name"]
        self.proc = None

    def fill(self, text, port):
        return str(text).replace("{port}", str(port)).replace("{here}", str(HERE)).replace("{python}", sys.executable).replace("{peers}", os.environ.get("BENCH_PEERS", "peers-not-installed"))

    def body(self, kind, **values):
        """request body for 'json', 'stream' or 'paced': a file name or an inline JSON object in the targets file"""
        b = self.s["bodies"].get(kind) or self.s["bodies"]["stream"]
        text = json.dumps(b) if isinstance(b, dict) else pathlib.Path(self.fill(b, 0)).read_text()
        for k, v in values.items():
            text = text.replace("{%s}" % k, str(v))
        path = pathlib.Path(self.o.tmp) / f"{re.sub(r'[^A-Za-z0-9]+', '-', self.name)}-{kind}.json"
        path.write_text(text)
        return path

    def start(self, variant=None):
        """spawn and wait for the first 200 answer to a POST; returns seconds"""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        cmd = self.s.get("cmd_" + variant) if variant else None
        cmd = [self.fill(x, self.port) for x in (shlex.split(cmd or self.s["cmd"]) if isinstance(cmd or self.s["cmd"], str) else cmd or self.s["cmd"])]
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **{k: self.fill(v, self.port) for k, v in self.s.get("env", {}).items()}}
        self.log = open(pathlib.Path(self.o.tmp) / "server.log", "ab")
        body = self.body("json").read_bytes()
        headers = {"Content-Type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "test-key", **self.s.get("headers", {})}
        t = time.perf_counter()
        self.proc = subprocess.Popen(pin(self.o.server_cpu, cmd), cwd=self.fill(self.s.get("cwd", HERE), 0), env=env,
                                     stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        last = None
        while time.perf_counter() - t < self.s.get("start_limit_s", 40):
            if self.proc.poll() is not None:
                raise RuntimeError(f"{self.name}: exited {self.proc.returncode} at start, see {self.log.name}")
            try:
                c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                c.request("POST", self.s.get("path", "/v1/messages"), body, headers)
                r = c.getresponse()
                data = r.read()
                c.close()
                if r.status == 200:
                    self.first_reply = data
                    return time.perf_counter() - t
                last = (r.status, data[:200])
            except OSError as e:
                last = e
            time.sleep(0.002)
        raise RuntimeError(f"{self.name}: no 200 answer in time: {last}")

    def stop(self):
        if self.proc is None:
            return
        p, self.proc = self.proc, None
        for sig, wait in ((signal.SIGTERM, 3), (signal.SIGKILL, 5)):
            if p.poll() is None:
                try:
                    os.killpg(p.pid, sig)        # its own session: only what we started
                except ProcessLookupError:
                    pass
                try:
                    p.wait(wait)
                except subprocess.TimeoutExpired:
                    continue
        self.log.close()

    def _run(self, cmd, env=None, limit=120):
        r = subprocess.run(pin(self.o.client_cpu, cmd), capture_output=True, text=True, timeout=limit, env={**os.environ, **(env or {})})
        if r.returncode or "{" not in r.stdout:
            raise RuntimeError(f"{self.name}: {cmd[0]} failed: {r.stderr[-300:]} {r.stdout[-300:]}")
        return json.loads(r.stdout[r.stdout.rindex('{"'):] if '"mode"' not in r.stdout else r.stdout)

    def url_path(self):
        return self.s.get("path", "/v1/messages")

    # -- workloads: each returns a flat dict of numbers ---------------------------------------------------------
    def wrk(self, key, script, kind):
        """keep-alive POST by wrk, whose script makes every body"""
        c0, t0 = usage(self.proc.pid)[0], time.perf_counter()
        r = self._run(["wrk", "-t1", f"-c{self.o.conns}", f"-d{self.o.seconds}s", "--timeout", "10s", "-s", str(HERE / script),
                       f"http://127.0.0.1:{self.port}{self.url_path()}"], {"BODY": str(self.body(kind))})
        used, took = usage(self.proc.pid)[0] - c0, time.perf_counter() - t0
        return {f"{key}_rps": r["requests"] / r["us"] * 1e6, f"{key}_per_cpu_s": r["requests"] / max(used, 0.01), f"{key}_p50_ms": r["p50_ms"],
                f"{key}_p99_ms": r["p99_ms"], f"{key}_cpu": used / took, f"{key}_errors": r["errors"] + r["bad_status"]}

    def w_json(self):
        """replies that are not streamed, the same bytes"""
        return self.wrk("json", "wrk.lua", "json")

    def w_jsonu(self):
        """the same, every prompt different"""
        return self.wrk("jsonu", "unique.lua", "json")

    def w_jsonx(self):
        """the same, bodies that share next to nothing"""
        return self.wrk("jsonx", "apart.lua", "json")

    def w_streamu(self):
        """streams without delay, every prompt different"""
        return self.wrk("streamu", "unique.lua", "stream")

    def headers(self):
        return [x for k, v in self.s.get("headers", {}).items() for x in ("--header", f"{k}: {v}")] + (
            ["--match", self.s["match"]] if "match" in self.s else [])

    def w_stream(self):
        """streams without delay, 64 connections, back to back"""
        c0 = usage(self.proc.pid)[0]
        r = self._run([str(HERE / "bin/sseload"), "rate", "--port", str(self.port), "--path", self.url_path(), "--conns", str(self.o.conns),
                       "--seconds", str(self.o.seconds), "--body", str(self.body("stream")), *self.headers()])
        used = usage(self.proc.pid)[0] - c0
        return {"stream_per_s": r["streams_per_s"], "stream_per_cpu_s": r["streams"] / max(used, 0.01), "stream_ev_per_s": r["events_per_s"], "stream_p50_ms": r["stream_ms_p50"],
                "stream_p99_ms": r["stream_ms_p99"], "stream_ev_each": r["events"] / max(1, r["streams"]),
                "stream_errors": r["errors"] + r["bad_status"] + (0 if "match" in self.s else r["incomplete"])}

    def w_paced(self, n, ms=None, events=50):
        """n concurrent paced streams; lateness of each delta against request time + first + k*interval"""
        key = f"p{n}_" if ms is None else f"p{n}x{ms:g}_"
        p = self.s.get("paced", {})
        ms = float(p.get("interval_ms") or ms or self.o.interval)
        events = int(p.get("events") or events)
        first = float(p.get("first_ms", 0))
        pid = self.proc.pid
        c0, rss0 = usage(pid)
        t0 = time.perf_counter()
        body = self.body("paced", events=events, interval_ms=f"{ms:g}")
        out = open(pathlib.Path(self.o.tmp) / "paced.out", "w+")
        client = subprocess.Popen(pin(self.o.client_cpu, [
            str(HERE / "bin/sseload"), "pace", "--port", str(self.port), "--path", self.url_path(), "--streams", str(n), "--events", str(events),
            "--interval-ms", f"{ms:g}", "--first-ms", f"{first:g}", "--ramp-ms", str(self.o.ramp or max(200, n / 10)), "--limit-s", str(self.o.limit),
            "--body", str(body), *self.headers()]), stdout=out)
        peak = rss0
        while client.poll() is None:
            time.sleep(0.2)
            peak = max(peak, usage(pid)[1])
            if time.perf_counter() - t0 > self.o.limit + 60:
                client.kill()
        cpu = (usage(pid)[0] - c0)
        out.seek(0)
        r = json.loads(out.read())
        k = key
        return {k + "late_p50_ms": r["late_ms"]["p50"], k + "late_p99_ms": r["late_ms"]["p99"], k + "late_max_ms": r["late_ms"]["max"],
                k + "drift_p50_ms": r["drift_ms"]["p50"], k + "drift_p99_ms": r["drift_ms"]["p99"], k + "first_p99_ms": r["first_ms_p99"],
                k + "cpu_us_per_event": cpu * 1e6 / max(1, r["deltas"]), k + "cpu_busy": cpu / max(0.1, r["elapsed_s"]),
                k + "rss_kb_per_stream": (peak - rss0) / 1024 / n, k + "reads_per_event": r["reads"] / max(1, r["deltas"]),
                k + "client_busy": r["client_cpu_s"] / max(0.1, r["elapsed_s"]),
                k + "bad": r["errors"] + r["bad_status"] + r["missing"]}


def plan(work):
    """'json,stream,paced:1000,startup' -> list of (method, args)"""
    out = []
    for w in work.split(","):
        name, _, rest = w.strip().partition(":")
        out.append((name, [float(x) if "." in x else int(x) for x in rest.split(":") if x]))
    return out


def missing(spec, opts):
    """why a target cannot be started here; None when it can"""
    words = spec["cmd"] if isinstance(spec["cmd"], list) else shlex.split(spec["cmd"])
    program = Target(spec, opts).fill(words[0], 0)
    if shutil.which(program) is None:
        return f"{program} is not installed" + ("" if os.environ.get("BENCH_PEERS") or "{peers}" not in words[0] else " (BENCH_PEERS names the folder of the peers)")
    return None


def one_round(t, work, opts):
    got = {}
    try:
        starts = [t.start()]
        for _ in range(opts.starts - 1 if any(w == "startup" for w, _ in work) else 0):
            t.stop()
            starts.append(t.start())
        got["start_ms"] = statistics.median(starts) * 1000
        time.sleep(0.3)
        got["rss_idle_mb"] = usage(t.proc.pid)[1] / 2**20
        paced_seen = False
        for name, args in work:
            if name == "startup" or name in t.s.get("skip", []) or name not in t.s.get("only", [name]):
                continue
            if name == "paced" and t.s.get("cmd_paced") and not paced_seen:
                t.stop()
                t.start("paced")
                paced_seen = True
            if name == "paced" and args and args[0] > t.s.get("max_streams", 10**9):
                continue
            try:
                got.update(getattr(t, "w_" + name)(*args))
            except Exception as e:
                log("!", t.name, name, args, e)
                got[f"{name}_failed"] = 1
                if t.proc.poll() is not None:
                    t.start()
            time.sleep(0.1)
    except Exception as e:
        log("!", e)
        got["failed"] = 1
    finally:
        t.stop()
    return got


def summarise(rounds, baseline):
    """medians, and medians of the per-round ratios to the baseline (the pairing removes slow drift of the machine)"""
    res = {}
    for name, rr in rounds.items():
        keys = sorted({k for r in rr for k in r})
        res[name] = {"median": {}, "min": {}, "max": {}, "ratio": {}}
        for k in keys:
            v = [r[k] for r in rr if k in r]
            res[name]["median"][k], res[name]["min"][k], res[name]["max"][k] = statistics.median(v), min(v), max(v)
            pairs = [r[k] / b[k] for r, b in zip(rr, rounds.get(baseline, [])) if k in r and b.get(k)]
            if pairs:
                res[name]["ratio"][k] = statistics.median(pairs)
    return res


def fmt(x):
    if x is None:
        return MISSING
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


TABLES = {  # workload: (title of its table, what is shown)
    "json": ("Non-streaming JSON", "rps", "per_cpu_s", "p50_ms", "p99_ms", "errors"),
    "jsonu": ("JSON, every prompt different", "per_cpu_s", "p99_ms", "errors"),
    "jsonx": ("JSON, bodies that share nothing", "per_cpu_s", "p99_ms", "errors"),
    "streamu": ("Streaming, no delay, every prompt different", "per_cpu_s", "p99_ms", "errors"),
    "stream": ("Streaming, no delay", "per_s", "per_cpu_s", "ev_per_s", "p50_ms", "p99_ms", "errors"),
}


def tables(res, baseline, work):
    """markdown: one table a workload; 'x base' columns are ratios to the baseline target"""
    groups = [("Start and idle memory", ["start_ms", "rss_idle_mb"], ["start_ms", "rss_idle_mb"])]
    for name, args in work:
        if name in TABLES:
            title, *metrics = TABLES[name]
            ratios = ["per_cpu_s"] + [one for one in ("rps", "per_s") if one in metrics]
            groups.append((title, [f"{name}_{one}" for one in metrics], [f"{name}_{one}" for one in ratios]))
        if name == "paced":
            k = f"p{args[0]}_" if len(args) < 2 else f"p{args[0]}x{args[1]:g}_"
            extra = f" ({args[1]:g} ms)" if len(args) > 1 else ""
            groups.append((f"{args[0]} paced streams{extra}", [k + x for x in (
                "late_p50_ms", "late_p99_ms", "late_max_ms", "drift_p50_ms", "cpu_us_per_event", "cpu_busy", "client_busy", "rss_kb_per_stream", "bad")],
                [k + "cpu_us_per_event"]))
    out = []
    for title, cols, ratios in groups:
        out += [f"\n### {title}\n", "| target | " + " | ".join(cols) + "".join(f" | {c} x base" for c in ratios) + " |",
                "|---" * (1 + len(cols) + len(ratios)) + "|"]
        for name, r in res.items():
            m = r["median"]
            if not any(c in m for c in cols):
                continue
            out.append("| " + " | ".join([("**%s**" % name) if name == baseline else name] + [fmt(m.get(c)) for c in cols]
                                         + [fmt(r["ratio"].get(c)) for c in ratios]) + " |")
    return "\n".join(out)


def checks(res, goals):
    """goals in the targets file: [{"target","metric","vs"?,"min"?,"max"?}] -> pass/fail lines"""
    out, ok = [], True
    for g in goals:
        m = res.get(g["target"], {}).get("median", {}).get(g["metric"])
        b = res.get(g.get("vs"), {}).get("median", {}).get(g["metric"]) if g.get("vs") else 1
        if m is None or not b:
            out.append(f"- skip: {g['target']} {g['metric']} (not measured)")
            continue
        v = m / b
        good = v >= g.get("min", -1e99) and v <= g.get("max", 1e99)
        ok &= good
        want = " ".join(f"{k} {g[k]}" for k in ("min", "max") if k in g)
        out.append(f"- {'ok  ' if good else 'MISS'}: {g['target']} {g['metric']}" + (f" / {g['vs']}" if g.get("vs") else "") + f" = {fmt(v)} ({want})")
    return "\n".join(out), ok


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("config", nargs="+", help="targets files; later ones add targets (the same name replaces)")
    ap.add_argument("--only", help="comma-separated target names (the baseline is always added)")
    ap.add_argument("--work", default="startup,json,stream,paced:1000", help="startup, json, stream, paced:N[:interval_ms[:events]]")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--seconds", type=int, default=3)
    ap.add_argument("--conns", type=int, default=64)
    ap.add_argument("--starts", type=int, default=3, help="starts per round for 'startup'")
    ap.add_argument("--interval", type=float, default=20, help="default ms between paced deltas")
    ap.add_argument("--ramp", type=float, default=0, help="ms over which paced requests are spread (0: max(200, N/10))")
    ap.add_argument("--limit", type=float, default=40, help="seconds a paced run may last")
    ap.add_argument("--server-cpu", type=int, default=0)
    ap.add_argument("--client-cpu", type=int, default=1)
    ap.add_argument("--no-pin", action="store_true")
    ap.add_argument("--baseline", default="bare-aiohttp")
    ap.add_argument("--json", help="write everything here")
    ap.add_argument("--tmp", default=os.path.join(tempfile.gettempdir(), "bench-run"))
    ap.add_argument("--check", action="store_true", help="exit 1 when a goal in the targets file is missed")
    opts = ap.parse_args()
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(143))   # runs the finally clauses: stops the server
    if opts.no_pin:
        opts.server_cpu = opts.client_cpu = None
    pathlib.Path(opts.tmp).mkdir(parents=True, exist_ok=True)
    if not (HERE / "bin/sseload").exists() or not (HERE / "data/json").exists():
        subprocess.run(["make", "-C", str(HERE)], check=True, stdout=sys.stderr)
    for tool in ("wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is needed (apt install wrk util-linux)")
    specs, goals = {}, []
    for c in opts.config:
        doc = json.loads(pathlib.Path(c).read_text())
        for s in doc["targets"]:
            specs[s["name"]] = {**doc.get("defaults", {}), **s, "bodies": {**doc.get("defaults", {}).get("bodies", {}), **s.get("bodies", {})}}
        goals += doc.get("goals", [])
    only = opts.only.split(",") if opts.only else list(specs)
    names = [n for n in specs if n in only or n == opts.baseline]
    skipped = {n: why for n in names if (why := missing(specs[n], opts))}
    for n, why in skipped.items():
        log(f"left out: {n}: {why}")
    names = [n for n in names if n not in skipped]
    work = plan(opts.work)
    rounds = {n: [] for n in names}
    for i in range(opts.rounds):
        for n in names if i % 2 == 0 else names[::-1]:        # A B C, C B A, ...
            log(f"round {i + 1}/{opts.rounds} {n}")
            rounds[n].append(one_round(Target(specs[n], opts), work, opts))
            if opts.json:                                     # an interrupted run keeps what it has
                pathlib.Path(opts.json).write_text(json.dumps({"argv": sys.argv, "partial": True, "rounds": rounds}))
    res = summarise(rounds, opts.baseline)
    print(f"rounds {opts.rounds}, {opts.conns} connections, {opts.seconds} s a run, load average {os.getloadavg()[0]:.2f}, Python {sys.version.split()[0]}; "
          f"medians; ratios to {opts.baseline} are medians of per-round ratios")
    print(tables(res, opts.baseline, work))
    text, ok = checks(res, goals)
    if goals:
        print("\n### Goals\n\n" + text)
    if opts.json:
        pathlib.Path(opts.json).write_text(json.dumps({"argv": sys.argv, "time": time.time(), "result": res, "rounds": rounds, "skipped": skipped}, indent=1))
    if opts.check and not ok:
        sys.exit(1)


if __name__ == "__main__":
    main()
