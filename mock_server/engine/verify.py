"""What a test asserts about the requests that came, and the explanation when it is not so. Reads journals only."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mock_server.engine.entry import Entry
from mock_server.engine.journal import Journal, read_past
from mock_server.engine.masking import masked
from mock_server.engine.request_view import ready_in_python
from mock_server.protocol.errors import excerpt
from mock_server.scenario.conditions import Condition, Miss
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import several

NEAREST = 3
NEAR = 0.7  # how far off a request may be that is listed as near
SHOWN = 20
MOST_LINES, LONGEST_LINE = 60, 300  # of two texts that are shown side by side
LINES_BEFORE, LETTERS_BEFORE = 3, 100  # what first differs


def matching(journal: Journal, when: Mapping[str, Any] | None, scenario: str | None, since: int = 0) -> list[Entry]:
    """The entries after number `since` that a condition and a scenario's name pick. Raises Incomplete.

    Side calls of agents count only where their scenario is named.
    """
    condition = None if when is None else read_past(when)
    picked = journal.entries() if condition is None else journal.matching(condition)
    newer = [one for one in picked if one.number > since]
    return [one for one in newer if (not one.side if scenario is None else one.scenario == scenario)]


def count(journal: Journal, when: Mapping[str, Any] | None, scenario: str | None) -> int:
    """How many requests came, ever, without the side calls of agents: exact, or Incomplete is raised."""
    if when is not None:
        return len(matching(journal, when, scenario))
    return journal.total - journal.side if scenario is None else journal.played(scenario)


def not_called(
    journal: Journal, times: int | None, when: Mapping[str, Any] | None, scenario: str | None, elsewhere: int
) -> str | None:
    """None when so many requests came (`times` None: at least one); else what came instead, and how far off it was."""
    got = count(journal, when, scenario)
    if got >= 1 if times is None else got == times:
        return None
    wanted = "at least 1 request" if times is None else several(times, "request")
    by = f" answered by '{scenario}'" if scenario else ""
    condition = f" with {_spelled(when)}" if when is not None else ""
    lines = [f"expected {wanted}{by}{condition}, got {got}"]
    if when is not None:
        lines += _matches(matching(journal, when, scenario))
        if got < (1 if times is None else times):
            lines += _nearest(journal, read_past(when))
    return masked("\n".join([*lines, journal_text(journal, elsewhere)]))


def _spelled(when: Mapping[str, Any]) -> str:
    parts = [when] if set(when) != {"all"} else when["all"]
    return " and ".join(f"{key} {value!r}" for part in parts for key, value in part.items())


def _matches(held: Sequence[Entry]) -> Iterator[str]:
    """The requests that were meant."""
    yield from (f"  match: {one}" for one in held[:NEAREST])
    if len(held) > NEAREST:
        yield f"  … {len(held) - NEAREST} more match"


def _nearest(journal: Journal, condition: Condition) -> Iterator[str]:
    """The requests that nearly met a condition, with every part of it that did not hold; if none did, the nearest."""
    matches = [(condition.match(one.request.facts), one) for one in journal.entries() if _is_judged(one)]
    off = sorted(((match, one) for match, one in matches if not match.ok), key=lambda pair: pair[0].distance)
    near = [pair for pair in off if pair[0].distance <= NEAR]
    for match, one in near[:NEAREST] or off[:1]:
        yield f"  {'near' if near else 'nearest'}: {one}"
        for miss in match.misses:
            yield f"    {miss}"
            yield from _difference(miss)


def _is_judged(entry: Entry) -> bool:
    return entry.is_readable and not entry.side


def _difference(miss: Miss) -> Iterator[str]:
    """A diff of two texts that should have been equal, where one look does not show how they differ."""
    if miss.exact is None or max(map(len, miss.exact)) <= 40:
        return
    import difflib  # only a miss that is looked at needs it

    wanted, got = (text.splitlines() for text in miss.exact)
    differs = _alike(wanted, got)
    # to compare all lines, or all letters of long ones, with all others would take hours
    first = max(0, differs - LINES_BEFORE) if max(len(wanted), len(got)) > MOST_LINES else 0
    if differs < min(len(wanted), len(got)) and max(len(wanted[differs]), len(got[differs])) > LONGEST_LINE:
        before = _alike(wanted[differs], got[differs]) - LETTERS_BEFORE
        for text in (wanted, got) if before > 0 else ():
            text[differs] = f"…{text[differs][before:]}"
    if first:
        yield f"      … {several(first, 'line')} alike"
    ours, theirs = (
        [excerpt(line, LONGEST_LINE) for line in text[first : first + MOST_LINES]] for text in (wanted, got)
    )
    for line in difflib.ndiff(ours, theirs):
        if not line.startswith("?"):
            yield f"      {line.rstrip()}"
    left = max(len(wanted), len(got)) - first - MOST_LINES
    if left > 0:
        yield f"      … {several(left, 'more line')}"


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines of two lists, or letters of two texts, are the same before the first that differs."""
    both = min(len(one), len(other))
    return next((at for at in range(both) if one[at] != other[at]), both)


def journal_text(journal: Journal, elsewhere: int = 0) -> str:
    """The journal as a report shows it."""
    held = journal.entries()
    if not held:
        lines = ["no request came to this session"]
    else:
        dropped = f", the first {journal.dropped} are no longer kept" if journal.dropped else ""
        lines = [f"the journal ({several(journal.total, 'request')}{dropped}):"]
    skipped = len(held) - SHOWN
    if skipped > 0:
        lines.append(f"  … {skipped} more")
    first = journal.total - len(held) + 1
    lines += [f"  {first + at}. {one}" for at, one in enumerate(held) if at >= skipped]
    if elsewhere > 0:
        lines.append(f"{several(elsewhere, 'request')} came under other keys")
    return "\n".join(lines)


def unmatched_text(journal: Journal) -> str:
    """Every request that no scenario answered, why, and the scenario that would have."""
    held = [one for one in journal.entries() if one.unmatched]
    nearest = [one.note.split("\n")[1].strip() for one in held[:1] if "\n" in one.note]
    first = f"{several(journal.unmatched, 'request')} matched no scenario"
    parts = [": ".join([first, *nearest])]
    for one in held[:NEAREST]:
        parts.append(f"{one.method} {one.path}: {one.note}\nThis would match:\n  {ready_in_python(one.request)}")
    return masked("\n".join(parts))


def unexpected_text(journal: Journal) -> str:
    """Every request that was not as its script expects it, with the differences."""
    count = journal.unexpected
    parts = [f"{several(count, 'request')} {'was' if count == 1 else 'were'} not as expected"]
    parts += [f"{one.method} {one.path}: {one.note}" for one in journal.entries() if one.unexpected]
    return masked("\n".join(parts[: 1 + NEAREST]))


def contradicted_text(journal: Journal) -> str:
    """The scripted replies that contradicted their requests, each sentence once, and what to do about it."""
    count = journal.contradicted
    parts = [f"{several(count, 'reply')} {'contradicts its request' if count == 1 else 'contradict their requests'}"]
    counted = Counter(
        f"{one.method} {one.path}: {text}"
        for one in journal.entries()
        if one.exchange.contradicted
        for text in one.exchange.contradictions
    )
    parts += [f"{text} ({times} times)" if times > 1 else text for text, times in counted.most_common(NEAREST)]
    if len(counted) > NEAREST:
        parts.append(f"… {len(counted) - NEAREST} more")
    parts.append(
        "Mend the scenario, or say that it is meant: `contradicts: true` in it, add(…, contradicts=True) in Python, or "
        'contradictions="warn" among the settings.'
    )
    return masked("\n".join(parts))


def never_played(journal: Journal, scenarios: Sequence[Scenario], elsewhere: int) -> str | None:
    """None when every turn of these scenarios was played, those for side calls aside; else which were not."""
    played = {(hit.scenario, hit.turn) for hit in tuple(journal.hits.values())}
    lines = [
        f"  '{one.name}' turn {turn} of {len(one.turns)}" + (f" ({one.source})" if one.source else "")
        for one in scenarios
        if not one.is_side_call
        for turn in range(1, len(one.turns) + 1)
        if (one.name, turn) not in played
    ]
    return "\n".join(["never played:", *lines, journal_text(journal, elsewhere)]) if lines else None


Step = str | Mapping[str, Any]


def out_of_sequence(journal: Journal, steps: Sequence[Step], elsewhere: int) -> str | None:
    """None when requests came in this order (others may lie between); else the text that says where it broke off.

    A step is the name of a scenario or a condition. Raises Incomplete when entries have been dropped.
    """
    tests = [step if isinstance(step, str) else read_past(step) for step in steps]
    journal.complete()
    found: list[Entry] = []
    rest = iter(journal.entries())
    for test in tests:
        hit = next((one for one in rest if _is(test, one)), None)
        if hit is None:
            break
        found.append(hit)
    if len(found) == len(tests):
        return None
    lines = [f"the requests did not come in this order; step {len(found) + 1} was not reached:"]
    for at, step in enumerate(steps):
        wanted = f"scenario '{step}'" if isinstance(step, str) else _spelled(step)
        came = f"ok: {found[at]}" if at < len(found) else "missing"
        lines.append(f"  {at + 1}. {wanted}: {came}")
    return masked("\n".join([*lines, journal_text(journal, elsewhere)]))


def _is(test: str | Condition, entry: Entry) -> bool:
    if isinstance(test, str):
        return entry.scenario == test
    return _is_judged(entry) and test.holds(entry.request.facts.at(entry.turn, entry.attempt))
