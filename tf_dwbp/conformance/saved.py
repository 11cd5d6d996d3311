"""Reads what --json wrote: the run again, as it was before expectations."""

import json
import pathlib

from tf_dwbp.conformance.cases import Case
from tf_dwbp.conformance.results import Cell, Run
from tf_dwbp.conformance.verdicts import Outcome
from tf_dwbp.tools.targets import OURS


def read(path: str | pathlib.Path) -> Run:
    """The run that was written there. Raises OSError, and ValueError if it is something else."""
    try:
        return _run(json.loads(pathlib.Path(path).read_text(encoding="utf-8")))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"{path} is not what tf-dwbp conformance --json writes") from None


def _run(data):
    cells = []
    for fields in data["cells"]:
        outcomes = {
            path: [Outcome.from_json(outcome) for outcome in listed]
            for path, listed in fields["outcomes"].items()
        }
        if not all(outcomes.values()):
            raise ValueError("a path without outcomes")
        cells.append(Cell(Case.of_id(fields["id"]), outcomes))
        cells[-1].judge(data["judged"], same_bits=data["target"] == OURS)
    paths, judged, lanes = ([*data["paths"]], [*data["judged"]], dict(data["lanes"]))
    return Run(
        str(data["target"]),
        paths,
        lanes,
        judged,
        cells,
        float(data["seconds"]),
        str(data["tensorflow_version"]),
        [*map(str, data.get("options", []))],
    )
