"""A property that is computed once for each object, also where several threads ask for it at the same time."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class once(Generic[Value]):  # noqa: N801  (reads as functools.cached_property does)
    """As `functools.cached_property`, which has had no lock since Python 3.12.

    One lock is shared by all such properties of all objects, so that they may ask for each other. A property that
    failed is computed again when it is asked for again.
    """

    lock = RLock()

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, holder: Any, owner: type | None = None) -> Value:
        with self.lock:
            if self._name not in holder.__dict__:
                holder.__dict__[self._name] = self._compute(holder)
            value: Value = holder.__dict__[self._name]
            return value
