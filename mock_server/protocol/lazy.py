"""`lazy`: a property worked out once. functools.cached_property takes a lock on Python 3.10 and 3.11; this does not."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class lazy(Generic[_T]):
    """The first read computes the value and keeps it in the instance's `__dict__`; later reads do not come here."""

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> _T:
        value: _T = self._compute(instance)
        instance.__dict__[self._name] = value
        return value
