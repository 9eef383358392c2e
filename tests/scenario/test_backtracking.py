"""Expressions that can hang are found; those that people write are not."""

import re
import subprocess
import sys

import pytest

from mock_server.scenario.backtracking import degree, explosive

FINE = [
    r"(?P<city>[A-Z]\w+)",
    r"weather in (?P<city>\w+(?: \w+)*)",
    r"^\s*(\w+)\s*=\s*(.*)$",
    r"(\d{1,3}\.){3}\d{1,3}",
    r"[\w.+-]+@[\w-]+(\.[\w-]+)+",
    r'(?:[^"\\]|\\.)*',
    r"(foo|bar)+",
    r"(\w+,)*\w+",
    r"(.|\n)*?end",
    r"^(?=.*\d)(?=.*[a-z]).{8,}$",
    r"(a+b+)+",
    r"(?i)hello\s+world",
    r"^[a-z0-9]+(?:-[a-z0-9]+)*$",
    r"https?://[^\s/]+(/[^\s]*)?",
    r"(\w|\d)+!",  # Python reads this as one class
]
HANGING = [
    r"(a+)+$",
    r"(a*)*$",
    r"^(\w+\s?)*$",
    r"(a|a)*b",
    r"(a|aa)+$",
    r"(.*)*x",
    r"([a-zA-Z]+)*$",
    r"((ab)+c?)+d",
    r"(x+x+)+y",
    r"(?:(?:a+){2,}){2,}b",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(a?a?){20,}b",
    r"(a|ab|b)*c",
    r"(.*a|b)*c",
    r"(?=(a+)+$)a",
    r"(\d+|\w+)*!",
]


@pytest.mark.parametrize("pattern", FINE)
def test_what_people_write_is_accepted(pattern: str) -> None:
    assert explosive(pattern) is None
    for text in ("a" * 60 + "!", "ab" * 30 + "!", "1 " * 30, "x" * 60):
        re.search(pattern, text)  # ends at once, or the test never does


@pytest.mark.parametrize("pattern", HANGING)
def test_what_can_take_for_ever_is_refused(pattern: str) -> None:
    told = explosive(pattern)

    assert told is not None
    assert "\n" not in told


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|a)*b", r"(a|aa)+$", r"(.*a|b)*c"])
def test_it_would_have_taken_for_ever(pattern: str) -> None:
    search = f"import re; re.search({pattern!r}, 'a' * 200 + '!')"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", search], timeout=1.5, check=True)


@pytest.mark.parametrize(
    ("pattern", "power"),
    [("hello", 0), ("x{1,5}y", 0), ("foo.*bar", 1), (r"\w+ \w+", 1), ("a.*b.*c", 2), ("a.*b.*c.*d", 3)],
)
def test_the_power_of_the_length_in_the_worst_case(pattern: str, power: int) -> None:
    assert degree(pattern) == power


def test_an_expression_of_very_many_places_is_refused() -> None:
    assert "more than 400 places" in str(explosive("|".join(f"word{at}[a-z]" for at in range(200))))
