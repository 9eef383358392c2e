"""Our `dataclass` against the standard library's: the same class, whatever is done with it."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from mock_server import records

KINDS: list[dict[str, bool]] = [
    {},
    {"frozen": True},
    {"slots": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "kw_only": True},
    {"frozen": True, "slots": True, "kw_only": True},
]


def made(make: Callable[..., Any], **kind: bool) -> Any:
    """A class with every sort of field."""

    @make(**kind)
    class Point:
        """A place."""

        x: int
        y: int = 2
        names: list[str] = dataclasses.field(default_factory=list, hash=False)
        note: str = dataclasses.field(default="", compare=False, repr=False)
        later: int = dataclasses.field(default=7, init=False)

    return Point


def outcome(do: Callable[[], Any]) -> Any:
    """What comes of it, or what is raised."""
    try:
        return do()
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "+".join(kind) or "plain")
@pytest.mark.parametrize(
    "do",
    [
        lambda cls: repr(cls(x=1)),
        lambda cls: repr(cls(1)),
        lambda cls: repr(cls(1, 2, ["a"], "b")),
        lambda cls: cls(),
        lambda cls: cls(x=1, z=2),
        lambda cls: cls(x=1, later=2),
        lambda cls: cls(x=1).later,
        lambda cls: cls(x=1).names is cls(x=1).names,
        lambda cls: cls(x=1) == cls(x=1, note="not compared"),
        lambda cls: cls(x=1) == cls(x=2),
        lambda cls: cls(x=1) == (1, 2, [], "", 7),
        lambda cls: hash(cls(x=1)) == hash(cls(x=1, names=["not hashed"])),
        lambda cls: repr(dataclasses.replace(cls(x=1), y=5)),
        lambda cls: dataclasses.asdict(cls(x=1)),
        lambda cls: [field.name for field in dataclasses.fields(cls)],
        lambda cls: setattr(cls(x=1), "x", 3),
        lambda cls: delattr(cls(x=1), "x"),
        lambda cls: repr(copy.deepcopy(cls(x=1, names=["a"]))),
        lambda cls: cls.__match_args__,
    ],
)
def test_a_class_behaves_as_the_standard_librarys(kind: dict[str, bool], do: Callable[[Any], Any]) -> None:
    standard = outcome(lambda: do(made(dataclasses.dataclass, **kind)))
    ours = outcome(lambda: do(made(records.dataclass, **kind)))

    assert ours == standard


@records.dataclass(frozen=True, slots=True)
class Pickled:
    """One that is found by its name."""

    x: int


def test_a_frozen_one_with_slots_is_pickled() -> None:
    assert pickle.loads(pickle.dumps(Pickled(3))) == Pickled(3)


def test_what_a_class_says_itself_stays() -> None:
    @records.dataclass(frozen=True)
    class Odd:
        x: int

        def __repr__(self) -> str:
            return "odd"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 5

    assert (repr(Odd(1)), Odd(1) == 3, hash(Odd(1))) == ("odd", True, 5)


def test_a_class_inherits_fields_and_what_comes_after_them() -> None:
    @records.dataclass(frozen=True)
    class Base:
        x: int

        def __post_init__(self) -> None:
            object.__setattr__(self, "double", 2 * self.x)

    @records.dataclass(frozen=True)
    class Derived(Base):
        y: int = 4

    derived: Any = Derived(3)
    assert (repr(derived).split(".")[-1], derived.double) == ("Derived(x=3, y=4)", 6)
    assert derived != Base(3)


def test_a_method_is_written_when_it_is_first_called() -> None:
    ours = made(records.dataclass, frozen=True)
    before = ours.__init__
    ours(1)

    assert ours.__init__ is not before
    assert ours.__init__.__code__.co_filename == "<string>"
