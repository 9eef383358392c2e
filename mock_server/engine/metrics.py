"""Counts over the life of a server, as Prometheus reads them."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from mock_server.engine.entry import Entry

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """Requests by scenario, status and outcome; tokens; how late streams were."""

    def __init__(self) -> None:
        self._requests: defaultdict[tuple[str | None, int, str], int] = defaultdict(int)
        self._input = self._output = 0
        self._late: Counter[float] = Counter()
        self._late_sum = 0.0

    def count(self, entry: Entry) -> None:
        """An exchange has ended."""
        exchange = entry.exchange
        plan = exchange.plan
        tokens = plan.tokens if plan.intact is None else plan.intact.tokens
        self.add((exchange.scenario, plan.status, entry.outcome), tokens)
        if entry.is_paced:
            late = entry.lateness
            self._late_sum += late
            self._late[next((edge for edge in BUCKETS if late <= edge), float("inf"))] += 1

    def add(self, ended: tuple[str | None, int, str], tokens: tuple[int, int] | None) -> None:
        """One more of these (scenario, status, outcome), and the tokens that it told."""
        self._requests[ended] += 1
        if tokens is not None:
            self._input += tokens[0]
            self._output += tokens[1]

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """The exposition format; `gauges`: name -> help and value now."""
        lines = [*_head("mock_server_requests_total", "counter", "exchanges ended")]
        ended = [(name or "", status, outcome, count) for (name, status, outcome), count in self._requests.items()]
        for scenario, status, outcome, count in sorted(ended):
            labels = f'scenario="{_escaped(scenario)}",status="{status}",outcome="{outcome}"'
            lines.append(f"mock_server_requests_total{{{labels}}} {count}")
        lines += _head("mock_server_tokens_total", "counter", "tokens that usage told")
        lines.append(f'mock_server_tokens_total{{kind="input"}} {self._input}')
        lines.append(f'mock_server_tokens_total{{kind="output"}} {self._output}')
        lines += self._histogram()
        for name, (help, value) in gauges.items():
            lines += [*_head(name, "gauge", help), f"{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _histogram(self) -> Iterator[str]:
        name = "mock_server_stream_lateness_seconds"
        yield from _head(name, "histogram", "the latest event of each paced stream, sent against due")
        below = 0
        for edge in BUCKETS:
            below += self._late[edge]
            yield f'{name}_bucket{{le="{edge:g}"}} {below}'
        total = below + self._late[float("inf")]
        yield f'{name}_bucket{{le="+Inf"}} {total}'
        yield f"{name}_sum {self._late_sum:g}"
        yield f"{name}_count {total}"


def _head(name: str, kind: str, help: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
