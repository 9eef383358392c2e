"""The walk itself: what it lets pass, and one example of each thing it finds."""

# ruff: noqa: UP006, UP007, UP035, UP045 - annotations are spelt as the SDK spells them

from datetime import datetime
from typing import Annotated, Any, Dict, List, Literal, Optional, Set, Union

import pytest
from anthropic._models import UnionDiscriminator
from conformance.strict import problems
from pydantic import BaseModel, Field


class Cat(BaseModel):
    type: Literal["cat"]
    name: str
    lives: Optional[int] = None


class Dog(BaseModel):
    kind: Literal["dog"] = Field(alias="type")
    tricks: List[str]


class Parrot(BaseModel):
    type: Literal["parrot", "ara"]
    says: Dict[str, object]


class Failure(BaseModel):
    code: Literal[1, "two"]


class Zoo(BaseModel):
    animals: List[Annotated[Union[Cat, Parrot], UnionDiscriminator("type")]]
    keeper: Optional[Annotated[Union[Cat, Parrot], UnionDiscriminator("type")]] = None
    found: Optional[Union[Failure, List[Cat]]] = None


class ByName(BaseModel):
    tag: Literal["a"]


class ByOtherName(BaseModel):
    tag: Literal["b"]
    more: int


Named = Annotated[Union[ByName, ByOtherName], UnionDiscriminator("tag")]
TOM = {"type": "cat", "name": "Tom"}

GOOD: list[tuple[object, Any]] = [
    ("text", str),
    (7, int),
    (7, float),
    (7.5, float),
    (False, bool),
    ({"any": ["thing"]}, object),
    (None, Optional[str]),
    ("text", Optional[str]),
    ("text", str | None),
    ("free", Union[Literal["known"], str]),
    ("2026-03-04T09:00:00Z", datetime),
    ([1, 2], List[int]),
    ([1, 2], list[int]),
    ({"a": {"b": None}}, Dict[str, object]),
    (TOM, Cat),
    ({**TOM, "lives": None}, Cat),
    ({**TOM, "lives": 9}, Cat),
    ({"type": "dog", "tricks": []}, Dog),
    ({"animals": [TOM, {"type": "ara", "says": {"hello": 1}}], "keeper": TOM}, Zoo),
    ({"animals": [], "keeper": None, "found": {"code": "two"}}, Zoo),
    ({"animals": [], "found": [TOM]}, Zoo),
    ({"animals": [], "found": []}, Zoo),
    ({"tag": "b", "more": 1}, Named),
]
BAD: list[tuple[object, Any, list[str]]] = [
    (7, str, ["value: expected str, not int"]),
    ("7", int, ["value: expected int, not str"]),
    (True, int, ["value: expected int, not bool"]),
    (1, bool, ["value: expected bool, not int"]),
    (7.0, int, ["value: expected int, not float"]),
    (None, str, ["value: expected str, not NoneType"]),
    ("yesterday", datetime, ["value: expected datetime, not str"]),
    (7, datetime, ["value: expected datetime, not int"]),
    (7, Optional[str], ["value: expected str, not int"]),
    ("c", Literal["a", "b"], ["value: not one of a, b; it is 'c'"]),
    (["a"], Literal["a"], ["value: not one of a; it is ['a']"]),
    (True, Literal[1], ["value: not one of 1; it is True"]),
    ({}, List[int], ["value: expected list, not dict"]),
    ([1, "2", None], List[int], ["value.1: expected int, not str", "value.2: expected int, not NoneType"]),
    ([], Dict[str, object], ["value: expected object, not list"]),
    ({"a": 1}, Dict[str, str], ["value.a: expected str, not int"]),
    ("Tom", Cat, ["value: expected object, not str"]),
    ({"type": "cat"}, Cat, ["value.name: missing"]),
    ({**TOM, "age": None}, Cat, ["value.age: unknown field"]),
    ({**TOM, "name": None}, Cat, ["value.name: expected str, not NoneType"]),
    ({"type": "parrot", "name": "Tom"}, Cat, ["value.type: not one of cat; it is 'parrot'"]),
    ({"kind": "dog", "tricks": []}, Dog, ["value.kind: unknown field", "value.type: missing"]),
    ({"animals": [TOM, {"type": "cow"}]}, Zoo, ["value.animals.1.type: not one of cat, parrot, ara; it is 'cow'"]),
    ({"animals": [{"name": "Tom"}]}, Zoo, ["value.animals.0.type: missing"]),
    ({"animals": [{"type": []}]}, Zoo, ["value.animals.0.type: not one of cat, parrot, ara; it is []"]),
    ({"animals": [{"type": "parrot"}]}, Zoo, ["value.animals.0.says: missing"]),
    ({"animals": [None]}, Zoo, ["value.animals.0: expected object, not NoneType"]),
    ({"animals": [], "keeper": {**TOM, "x": 1}}, Zoo, ["value.keeper.x: unknown field"]),
    ({"animals": [], "found": [{**TOM, "x": 1}]}, Zoo, ["value.found.0.x: unknown field"]),
    ({"animals": [], "found": {"code": 2}}, Zoo, ["value.found.code: not one of 1, two; it is 2"]),
    ({"tag": "b"}, Named, ["value.more: missing"]),
    ({"tag": "c"}, Named, ["value.tag: not one of a, b; it is 'c'"]),
    ({"type": "a"}, Named, ["value.tag: missing"]),
]


@pytest.mark.parametrize(("value", "kind"), GOOD)
def test_what_fits_has_no_problem(value: object, kind: Any) -> None:
    assert problems(value, kind) == []


@pytest.mark.parametrize(("value", "kind", "found"), BAD)
def test_what_does_not_fit_is_told_with_its_path(value: object, kind: Any, found: list[str]) -> None:
    assert problems(value, kind) == found


def test_the_path_begins_where_one_says() -> None:
    assert problems({"type": "cat"}, Cat, "event.cat") == ["event.cat.name: missing"]


@pytest.mark.parametrize("kind", [Set[int], bytes, "a name"])
def test_an_annotation_without_a_rule_is_not_passed_over(kind: Any) -> None:
    with pytest.raises(TypeError, match="no rule for"):
        problems([], kind)
