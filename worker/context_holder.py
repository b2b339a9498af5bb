"""A holder for the one worker context of a Celery application, opened at first use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ContextHolder(Generic[T]):
    """Holds nothing or one value. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: T | None = None

    def get_or_open(self, open_value: Callable[[], T]) -> T:
        """Return the value; open it first if there is none, once for all threads."""
        with self._lock:
            if self._value is None:
                self._value = open_value()
            return self._value

    def get(self) -> T | None:
        """Return the value, None if there is none; opens nothing."""
        with self._lock:
            return self._value

    def put(self, value: T) -> None:
        """Hold this value from now on. The previous one is not closed."""
        with self._lock:
            self._value = value

    def take(self) -> T | None:
        """Return the value, or None, and hold nothing any more."""
        with self._lock:
            value, self._value = self._value, None
            return value
