"""Query strings: what an endpoint knows is read and checked, all else is a 400. And pages of a list."""

from typing import Any

import pytest

from mock_server.protocol.errors import ApiError
from mock_server.protocol.query import PAGE, Several, TextParameter, id_page, read_query

KNOWN = {**PAGE, "lifecycle": Several(("active", "retired")), "ids": Several(), "page": TextParameter()}


def read(query: str) -> dict[str, Any]:
    """What was given, without the defaults."""
    nothing = {"limit": 20, "after_id": None, "before_id": None, "lifecycle": (), "ids": (), "page": None}
    return {name: value for name, value in read_query(query, KNOWN).items() if value != nothing[name]}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("beta=true", {}),
        ("limit=1", {"limit": 1}),
        ("limit=1000&after_id=a%2Fb", {"limit": 1000, "after_id": "a/b"}),
        ("before_id=b+c&beta=true", {"before_id": "b c"}),
        ("after_id=", {}),
        ("lifecycle[]=active&lifecycle[]=retired", {"lifecycle": ("active", "retired")}),
        ("lifecycle%5B%5D=active", {"lifecycle": ("active",)}),
        ("lifecycle=retired&lifecycle[]=active", {"lifecycle": ("retired", "active")}),
        ("ids[]=x&ids[]=x&page=p", {"ids": ("x", "x"), "page": "p"}),
    ],
)
def test_a_query_is_read(query: str, expected: dict[str, Any]) -> None:
    assert read(query) == expected


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=-5", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("limit=٣", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=1&limit=2", "limit"),
        ("after_id=a&after_id=b", "after_id"),
        ("after_id[]=a", "after_id[]"),
        ("lifecycle[]=active&lifecycle[]=old", "lifecycle.1"),
        ("order=desc", "order"),
        ("Limit=3", "Limit"),
        ("=3", ""),
        ("limit=%ff", "The query"),
        ("&".join(["ids=a"] * 1001), "The query"),
        ("x" * 5000 + "=1", "xxx"),
    ],
)
def test_a_query_that_is_wrong_is_a_400_that_names_it(query: str, named: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(query)
    assert caught.value.status == 400
    assert str(caught.value).startswith(named)
    assert len(str(caught.value)) < 200


ITEMS = {name: name.upper() for name in "abcde"}


def page(query: str) -> tuple[str, bool]:
    """The ids of one page, and whether there are more."""
    found = id_page(ITEMS, read_query(query, PAGE), lambda item: {"id": item.lower()})
    ids = "".join(one["id"] for one in found["data"])
    assert (found["first_id"], found["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return ids, found["has_more"]


@pytest.mark.parametrize(
    ("query", "ids", "more"),
    [
        ("", "abcde", False),
        ("limit=2", "ab", True),
        ("limit=5", "abcde", False),
        ("limit=2&after_id=b", "cd", True),
        ("limit=2&after_id=d", "e", False),
        ("after_id=e", "", False),
        ("limit=2&before_id=d", "bc", True),
        ("limit=2&before_id=c", "ab", False),
        ("before_id=a", "", False),
    ],
)
def test_a_list_comes_in_pages(query: str, ids: str, more: bool) -> None:
    assert page(query) == (ids, more)


@pytest.mark.parametrize("query", ["after_id=z", "before_id=z", "after_id=a&before_id=c"])
def test_a_page_that_is_not_there_is_a_400(query: str) -> None:
    with pytest.raises(ApiError) as caught:
        page(query)
    assert caught.value.status == 400


def test_an_empty_list_has_an_empty_page() -> None:
    assert id_page({}, read_query("", PAGE), dict) == {"data": [], "has_more": False, "first_id": None, "last_id": None}
