"""Has the plan carried out in a process of its own, whose death becomes a row's refusal.

TensorFlow reads its oneDNN switch while loading, so the process is started with the switch that
the peer needs; both contenders run in it.
"""

import dataclasses
import json
from collections.abc import Callable

from tf_dwbp.bench.peers import PEERS
from tf_dwbp.bench.results import OURS, Plan, Row, Run
from tf_dwbp.bench.shapes import AnyShape
from tf_dwbp.bench.training import TrainingPlan, TrainingRow, TrainingRun
from tf_dwbp.tools import process

# Seconds that the process may be silent: it measures a shape, or compiles for it.
LIMIT_SECONDS = 300

_WORKER_MODULE = "tf_dwbp.bench.worker"
_TRAIN_WORKER_MODULE = "tf_dwbp.bench.train_worker"


class Failed(Exception):
    """The process that measures cannot be started; the message says what it said."""


@dataclasses.dataclass
class _Heard:
    """What processes said."""

    rows: dict[str, dict] = dataclasses.field(default_factory=dict)  # what was measured, by name
    deaths: dict[str, str] = dataclasses.field(default_factory=dict)  # or why there is nothing
    machine: dict = dataclasses.field(default_factory=dict)
    rates: list[float] = dataclasses.field(default_factory=list)  # of matrix multiplications


Progress = Callable[[str, int, int], None]


def run(
    plan: Plan,
    selected: list[AnyShape],
    progress: Progress = lambda what, done, total: None,
) -> Run:
    """Measures the shapes; `progress` hears which is next, and how many are done of how many."""
    environment = PEERS.get(plan.peer, PEERS["onednn"]).environment
    names = [shape.name for shape in selected]
    heard = _listen(_WORKER_MODULE, environment, plan, names, progress)
    rows = []
    for shape in selected:
        if shape.name in heard.rows:
            rows.append(Row.from_json(heard.rows[shape.name]))
        else:  # which contender's fault that is nobody knows
            reason = heard.deaths[shape.name]
            rows.append(Row(shape, {}, {OURS: reason, plan.peer: reason}))
    return Run(plan, rows, heard.machine, max(heard.rates))


def run_training(
    plan: TrainingPlan, models: list[str], progress: Progress = lambda what, done, total: None
) -> TrainingRun:
    """Measures training steps of the models."""
    environment = PEERS["onednn"].environment
    heard = _listen(_TRAIN_WORKER_MODULE, environment, plan, models, progress)
    rows = [
        TrainingRow(**heard.rows[name])
        if name in heard.rows
        else TrainingRow(name, *plan.sizes(name), {}, {}, heard.deaths[name])
        for name in models
    ]
    return TrainingRun(plan, rows, heard.machine)


def _listen(module, environment, plan, names, progress):
    """Has processes measure what is named, another one after each that died of something."""
    heard = _Heard()
    remaining = list(names)
    while remaining:
        begun, evidence = None, ""
        with process.Worker(module, [json.dumps(vars(plan)), *remaining], environment) as worker:
            while not evidence:
                messages = []
                if not process.wait([worker], LIMIT_SECONDS):
                    evidence = worker.last_words(f"no answer within {LIMIT_SECONDS} s")
                elif (messages := worker.receive()) is None:
                    evidence = worker.last_words()
                for message in messages or ():
                    if "matmul_rate" in message:
                        heard.rates.append(message["matmul_rate"])
                    heard.machine = message.get("machine", heard.machine)
                    begun = message.get("begin", begun)
                    if "row" in message:
                        heard.rows[begun] = message["row"]
                    if begun:
                        progress(begun, len(heard.rows) + len(heard.deaths), len(names))
        if begun is None:
            raise Failed(evidence)
        if begun not in heard.rows:  # it died of this one
            heard.deaths[begun] = f"the process that runs both contenders ended: {evidence}"
        done = heard.rows.keys() | heard.deaths.keys()
        remaining = [name for name in remaining if name not in done]
    return heard
