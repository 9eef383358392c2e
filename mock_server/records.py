"""`dataclass` as the standard library has it, but for this: a method is written when it is first called. And `lazy`, a
property that is worked out once.

The standard one writes and compiles six methods when a class is made: half of what the import of our own modules took,
for a hundred classes of which a start uses some twenty.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, kw_only=False):
        """Make a class a dataclass; `dataclasses.fields`, `replace` and the like take it as any other."""

        def of(plain: type) -> type:
            own = frozenset(vars(plain))
            made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(plain)
            for name, write in _WRITERS.items():
                if name not in own:
                    setattr(made, name, _later(made, name, write))
            if frozen:
                _freeze(made, slots)
            elif "__hash__" not in own:
                made.__hash__ = None
            return made

        return of if cls is None else of(cls)


_T = TypeVar("_T")
_Tuple = TypeVar("_Tuple", bound=tuple[Any, ...])


class lazy(Generic[_T]):
    """The first read computes the value and keeps it in the instance's `__dict__`; later reads do not come here.

    functools.cached_property takes a lock on Python 3.10 and 3.11; this does not.
    """

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> _T:
        value: _T = self._compute(instance)
        instance.__dict__[self._name] = value
        return value


def quick(cls: type[_Tuple]) -> Callable[[tuple[Any, ...]], _Tuple]:
    """Makes a named tuple from a tuple of all its values: what `cls(...)` does, in less than half the time. For those
    that are made for every request.
    """
    return functools.partial(tuple.__new__, cls)


Method = Callable[..., Any]


def _later(cls: type, name: str, write: Callable[[type, str], Method]) -> Method:
    """A method that puts the true one in its own place, and calls that."""

    def method(self: Any, *values: Any, **named: Any) -> Any:
        true = write(cls, name)
        true.__module__, true.__qualname__ = cls.__module__, f"{cls.__qualname__}.{name}"
        setattr(cls, name, true)
        return true(self, *values, **named)

    return method


def _fields(cls: Any) -> "tuple[dataclasses.Field[Any], ...]":
    return dataclasses.fields(cls)


def _initial(cls: Any, name: str) -> Method:
    """`__init__`: sets every field; of a frozen class past what keeps it from being set."""
    assign = "_set(self, {!r}, {})" if cls.__setattr__ is not object.__setattr__ else "self.{}={}"
    scope: dict[str, Any] = {"_set": object.__setattr__, "_made": _MADE}
    first: list[str] = []
    last: list[str] = []
    body: list[str] = []
    for field in _fields(cls):
        value = field.name
        if field.default_factory is not dataclasses.MISSING:
            scope[f"_new_{value}"] = field.default_factory
            default = "=_made"
            value = f"_new_{value}() if {value} is _made else {value}" if field.init else f"_new_{value}()"
        elif field.default is not dataclasses.MISSING:
            scope[f"_default_{value}"] = field.default
            default = f"=_default_{value}"
            value = value if field.init else f"_default_{value}"
        elif field.init:
            default = ""
        else:
            continue
        if field.init:
            (last if field.kw_only else first).append(field.name + default)
        body.append(" " + assign.format(field.name, value))
    if hasattr(cls, "__post_init__"):
        body.append(" self.__post_init__()")
    parameters = ", ".join(["self", *first, *(["*", *last] if last else ())])
    exec("\n".join([f"def {name}({parameters}):", *(body or [" pass"])]), scope)  # noqa: S102 # names of fields, no more
    method: Method = scope[name]
    return method


_MADE = object()  # stands for a default that is made anew for each


def _standard(flag: str) -> Callable[[type, str], Method]:
    """Has the standard library write a method: the one that `flag` stands for."""
    flags: Any = {"init": False, "repr": False, "eq": False, flag: True}

    def write(cls: type, name: str) -> Method:
        listed = [(field.name, field.type, field) for field in _fields(cls)]
        method: Method = vars(dataclasses.make_dataclass(cls.__name__, listed, **flags))[name]
        return method

    return write


_WRITERS: Mapping[str, Callable[[type, str], Method]] = {
    "__init__": _initial,
    "__repr__": _standard("repr"),
    "__eq__": _standard("eq"),
    "__hash__": _standard("unsafe_hash"),
}


def _freeze(cls: Any, slots: bool) -> None:
    names = frozenset(field.name for field in _fields(cls))

    def refuse_to_set(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def refuse_to_delete(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    cls.__setattr__, cls.__delattr__ = refuse_to_set, refuse_to_delete
    if slots:  # whoever copies or unpickles one would set its slots
        cls.__getstate__, cls.__setstate__ = _state, _set_state


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in _fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(_fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
