"""What arguments may be, for programs that check types; TensorFlow comes without types of its own.

Nothing is imported here: a checker reads more into these than a running program needs.
"""

from collections.abc import Iterable
from typing import Any, SupportsIndex, TypeAlias

TensorLike: TypeAlias = Any
"""A tensor, a variable, an array, or numbers in lists."""

Ints: TypeAlias = Iterable[SupportsIndex]
"""Integers in a list, a tuple, an array, an eager tensor or a `tf.TensorShape`."""

Padding: TypeAlias = str | bytes | Iterable[Iterable[SupportsIndex]]
"""SAME, VALID, or pairs (before, after)."""
