"""The ways to an answer that a run asks: ours, stock TensorFlow's, and anybody's function."""

import dataclasses

from tf_dwbp.conformance import cases
from tf_dwbp.tools.targets import EAGER, JIT, OURS, STOCK

EIGEN, ONEDNN, XLA = "stock Eigen", "stock oneDNN", "stock XLA"

# TensorFlow reads its oneDNN switch while loading: two processes show both CPU paths. A device gets
# one process, since it may not take two, in the environment that the user has made for it.
ENVIRONMENTS = ({"TF_ENABLE_ONEDNN_OPTS": "0"}, {"TF_ENABLE_ONEDNN_OPTS": "1"}, {})
_DEVICES = 2


@dataclasses.dataclass(frozen=True)
class Path:
    """One way to an answer."""

    name: str
    target: str  # what `targets.load` takes
    environments: tuple[int, ...]  # where it runs
    everywhere: bool = True  # in all of these, or in whichever is free
    execution: str = EAGER
    orders: tuple[int, ...] = (0,)  # of differentiation: what it is asked for
    large: bool = False  # whether it is asked for cases of real size
    epilogues: bool = True  # whether it is asked for ops with an epilogue
    lane: str | None = None  # what it is a part of, which its name begins with

    def is_asked(self, case: cases.Case) -> bool:
        """Whether it is asked for a case."""
        return (
            case.order in self.orders
            and (self.large or not case.is_large)
            and (self.epilogues or not case.epilogue)
        )

    @property
    def is_slow(self) -> bool:
        """Whether XLA makes code for every call, instead of calling ours."""
        return self.target == STOCK and self.execution == JIT


STOCK_PATHS = (
    Path(EIGEN, STOCK, (0,)),
    Path(ONEDNN, STOCK, (1,)),
    # XLA has no op that stock makes of a convolution and what follows it: it fuses by itself.
    Path(XLA, STOCK, (0, 1), everywhere=False, execution=JIT, epilogues=False),
)


def on_device(device, target, executions) -> tuple[list[Path], list[str]]:
    """The paths to ask when `target` is judged on a device: one lane, and nothing beside it."""
    name = device if target == STOCK else f"{target.rpartition(':')[2]} on {device}"
    judged = [
        Path(
            f"{name} {execution}",
            target,
            (_DEVICES,),
            execution=execution,
            orders=cases.ORDERS,
            large=True,
            lane=name,
        )
        for execution in executions
    ]
    return judged, [path.name for path in judged]


def to_ask(
    target=None, stock=True, executions=(EAGER,), without_tensorflow=False
) -> tuple[list[Path], list[str]]:
    """The paths to ask when `target` (None: our ops) is judged, and the names of those judged.

    Only what is judged is asked for gradients and for cases of real size, stock not by way of XLA.
    Without `stock`, nothing else is asked. Stock has paths of its own instead of `executions`.
    A function that is called `without_tensorflow` is asked once, and has no gradients.
    """
    if target == STOCK:
        asked = [
            path if path.is_slow else dataclasses.replace(path, orders=cases.ORDERS, large=True)
            for path in STOCK_PATHS
        ]
        return asked, [path.name for path in asked]
    name = OURS if target is None else target.partition(":")[2]
    judged = [
        Path(
            f"{name} {execution}",
            target or OURS,
            (0, 1),
            # Whose bits the others must have; what TensorFlow reads makes no difference without.
            everywhere=execution == EAGER and not without_tensorflow,
            execution=execution,
            orders=(0,) if without_tensorflow else cases.ORDERS,
            large=True,
            lane=name,
        )
        for execution in executions
    ]
    return [*judged, *(STOCK_PATHS if stock else ())], [path.name for path in judged]
