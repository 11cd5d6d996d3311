"""A process in which a framework makes calls, and their time is taken. `elsewhere` starts it.

Started as `python -m tf_dwbp.bench.framework_worker CHANNEL FRAMEWORK THREADS`.
"""

import json
import sys

import numpy as np

from tf_dwbp.bench import measure, shapes
from tf_dwbp.bench.call import Call
from tf_dwbp.bench.contender import Refused, with_copies
from tf_dwbp.bench.frameworks import FRAMEWORKS
from tf_dwbp.tools import console, process


def main(channel, name, threads):
    prepared = contender = None
    for question in channel:
        try:
            if prepared != question["call"]:
                fields = json.loads(question["call"])
                shape = shapes.from_json(fields.pop("shape"))
                prepared = contender = None  # makes room
                contender = with_copies(FRAMEWORKS[name].prepare)(Call(shape, **fields), threads)
                prepared = question["call"]
            channel.send(**_answer(contender, question))
        except Refused as refusal:
            channel.send(refused=str(refusal))
        except Exception as error:  # whatever a framework raises
            channel.send(refused=console.one_line(error))


def _answer(contender, question):
    if "results" in question:
        arrays = contender.to_arrays(contender.run())
        # Each holds all values of its type; NumPy's files know no bfloat16.
        wide = (a.astype(np.float32) if a.dtype.itemsize == 2 else a for a in arrays)
        np.savez(question["results"], *wide)
        return {}
    lead_in = question["lead_in"]
    return {"seconds": measure.block(contender.run, question["calls"], lead_in=lead_in)}


if __name__ == "__main__":
    main(process.Channel(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
