"""The marks on what we make: read back, and broken by any change."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server.protocol import signing

STAMP = signing.stamp("toolu_", "agent", 3, "get_weather", {"city": "Paris", "days": 2})
ID = signing.mint("abc123", STAMP)


def test_an_id_has_the_form_of_the_apis_and_tells_where_it_is_from() -> None:
    assert re.fullmatch(r"toolu_01[A-Za-z0-9]{22}", ID)
    read = signing.read(ID)
    assert read is not None
    assert (read.scenario, read.position) == (signing.tag("agent"), 3)
    assert read.named("get_weather")
    assert read.called_with("get_weather", {"city": "Paris", "days": 2})


@given(st.integers(1, 3000), st.from_regex(r"[A-Za-z0-9]{6}", fullmatch=True))
def test_every_position_is_read_back(position: int, nonce: str) -> None:
    read = signing.read(signing.mint(nonce, signing.stamp("srvtoolu_", "s", position, "f", {})))
    assert read is not None
    assert read.position == position


@pytest.mark.parametrize("at", range(8, 30))
def test_a_changed_letter_is_noticed(at: int) -> None:
    changed = ID[:at] + ("x" if ID[at] != "x" else "y") + ID[at + 1 :]
    read = signing.read(changed)
    assert read is None or not (
        read.named("get_weather") and read.called_with("get_weather", {"city": "Paris", "days": 2})
    )


@pytest.mark.parametrize(
    ("input", "same"),
    [
        ({"days": 2, "city": "Paris"}, True),
        ({"city": "Paris", "days": 2.0}, True),
        ({"city": "Paris", "days": 2, "unit": None}, True),
        ({"city": "paris", "days": 2}, False),
        ({"city": "Paris"}, False),
    ],
)
def test_order_nulls_and_number_forms_are_no_change(input: dict[str, object], same: bool) -> None:
    read = signing.read(ID)
    assert read is not None
    assert read.called_with("get_weather", input) is same
    assert not read.named("get_time")


def test_a_call_cut_short_is_held_to_its_name_alone() -> None:
    read = signing.read(signing.mint("abc123", signing.stamp("toolu_", "s", 1, "f", {"a": 1}, cut=True)))
    assert read is not None
    assert read.called_with("f", {"anything": "goes"})
    assert not read.called_with("g", {})


@pytest.mark.parametrize("id", ["", "toolu_01", "toolu_01" + "a" * 22, "call_123", None, 5, "msg_01" + ID[8:]])
def test_ids_made_elsewhere_tell_nothing(id: object) -> None:
    assert signing.read(id) is None


@given(st.text())
def test_a_signature_stands_for_one_text(text: str) -> None:
    made = signing.signature("thinking", text)
    assert signing.signed("thinking", text, made) is True
    assert signing.signed("thinking", text + "!", made) is False


@pytest.mark.parametrize("given", ["", "abc", "EqQBCkYIBxgCKkBz", None, "ä"])
def test_a_signature_made_elsewhere_is_not_judged(given: object) -> None:
    assert signing.signed("thinking", "Hm.", given) is None
