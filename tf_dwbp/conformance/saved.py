"""Reads what --json wrote: the run again, as it was before expectations."""

import json
import pathlib

from tf_dwbp.conformance.cases import Case
from tf_dwbp.conformance.results import Cell, Run
from tf_dwbp.conformance.verdicts import Outcome
from tf_dwbp.tools import files
from tf_dwbp.tools.placement import Placement
from tf_dwbp.tools.targets import OURS


def read(path: str | pathlib.Path) -> Run:
    """The run that was written there. Raises OSError, and ValueError if it is something else."""
    try:
        return _run(json.loads(files.read_text(path)))
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
    place, others = Placement.split([*map(str, data.get("placement", []))])
    if others:
        raise ValueError("words that are no placement")
    version = data["tensorflow_version"]
    return Run(
        str(data["target"]),
        paths,
        lanes,
        judged,
        cells,
        float(data["seconds"]),
        None if version is None else str(version),
        [*map(str, data.get("options", []))],
        placement=place,
        versions=dict(data.get("versions", {})),
    )
