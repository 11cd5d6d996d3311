"""In which processes a call is made, and how."""

import dataclasses
import itertools
from collections.abc import Iterator

from tf_dwbp.fuzz.pool import Setting


@dataclasses.dataclass(frozen=True)
class Ways:
    """Each instruction set, with each number of threads, in each execution."""

    isas: tuple[str | None, ...]
    threads: tuple[int, ...]
    executions: tuple[str, ...]

    @property
    def settings(self) -> list[Setting]:
        return [Setting(*pair) for pair in itertools.product(self.isas, self.threads)]

    @property
    def options(self) -> str:
        """What `tf-dwbp fuzz` takes for this."""
        parts = [] if None in self.isas else ["--isa", *self.isas]
        parts += ["--threads", *map(str, self.threads), "--execution", *self.executions]
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
