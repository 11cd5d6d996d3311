"""Has the device commit one fault after the other, and prints what the quick cut finds of each.

Started as `python -m device_faults`, it judges as a worker of the conformance run does, in one
process: to load TensorFlow for each fault would take most of the time.
"""

import collections
import json
import os

import device_plug_in
from tf_dwbp.conformance import cases, worker
from tf_dwbp.tools import targets
from tf_dwbp.tools.placement import Placement


def main():
    """Prints, as JSON, fault -> op -> verdict -> how many cells."""
    place = Placement(device_plug_in.NAME, (device_plug_in.path(),))
    place.prepare()
    functions = targets.load(targets.STOCK)
    selected = cases.select(["float"], quick=True, orders=[0])
    found = {}
    for fault in ("", *device_plug_in.FAULTS):
        os.environ[device_plug_in.FAULT] = fault
        found[fault] = {op: collections.Counter() for op in cases.OPS}
        for case, outcome in worker._ask(functions, place, selected, lambda **_: None):
            found[fault][case.op][outcome.verdict.value] += 1
    print(json.dumps(found))


if __name__ == "__main__":
    main()
