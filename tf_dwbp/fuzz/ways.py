"""In which processes a call is made, and how."""

import dataclasses
import itertools
from collections.abc import Iterator

from tf_dwbp.fuzz.pool import Setting

ANY = "any"  # what takes a call by itself, where names of implementations stand


@dataclasses.dataclass(frozen=True)
class Ways:
    """Each instruction set, with each number of threads, in each execution.

    Where calls go to whatever implementation takes them (None), implementations that are forced
    besides are so for the last instruction set alone: each is a process, which has TensorFlow.
    """

    isas: tuple[str | None, ...]
    threads: tuple[int, ...]
    executions: tuple[str, ...]
    implementations: tuple[str | None, ...] = (None,)

    @property
    def settings(self) -> list[Setting]:
        """Those in which nothing is forced come first."""
        settings = []
        for implementation in sorted(self.implementations, key=lambda name: name is not None):
            beside = implementation is not None and None in self.implementations
            isas = self.isas[-1:] if beside else self.isas
            pairs = itertools.product(isas, self.threads)
            settings += [Setting(*pair, implementation) for pair in pairs]
        return settings

    @property
    def options(self) -> str:
        """What `tf-dwbp fuzz` takes for this."""
        parts = [] if None in self.isas else ["--isa", *self.isas]
        parts += ["--threads", *map(str, self.threads), "--execution", *self.executions]
        if self.implementations != (None,):
            parts += ["--impl", *(name or ANY for name in self.implementations)]
        return " ".join(parts)

    def fewer(self) -> Iterator["Ways"]:
        """One of the values alone, or one less, of each."""
        for field in dataclasses.fields(self):
            values = getattr(self, field.name)
            if len(values) > 1:
                for value in values:
                    yield dataclasses.replace(self, **{field.name: (value,)})
            if len(values) > 2:
                for value in values:
                    left = tuple(v for v in values if v != value)
                    yield dataclasses.replace(self, **{field.name: left})
