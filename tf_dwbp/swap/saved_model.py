"""Renames the ops of a SavedModel for good."""

import os
import pathlib
import shutil
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import EncodeError
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model import fingerprinting_utils, loader_impl

from tf_dwbp import _library, family
from tf_dwbp.swap import graphs
from tf_dwbp.swap.report import Entry, Report

_FILES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb", "fingerprint.pb")


def rewrite(
    saved_model_dir: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    ops: str | Iterable[str] = tuple(family.OPS),
) -> Report:
    """Writes a copy of a SavedModel whose depthwise ops are ours.

    The copy runs wherever `import tf_dwbp` comes before it is loaded; nothing need be installed.
    Variables, assets and signatures are the original's.

    Args:
      saved_model_dir: the SavedModel, a directory.
      out_dir: a directory for the copy; it must not exist, or be empty.
      ops: which ops to rename, some of `tf_dwbp.swap.OPS`.

    Returns:
      What became of each op. Functions that XLA compiles are left alone where this build of
      tf_dwbp has no XLA kernels.

    Raises:
      ValueError: when `ops` is empty or holds anything else, `saved_model_dir` is not a SavedModel,
        or `out_dir` is not empty.
    """
    from tf_dwbp.swap import check_ops  # which imports this module

    chosen = check_ops(ops)
    source, target = pathlib.Path(saved_model_dir), pathlib.Path(out_dir)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"out_dir must be a new or empty directory, but is {str(target)!r}")
    try:
        saved_model = loader_impl.parse_saved_model(str(source))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"saved_model_dir must be a SavedModel's directory, but is {str(source)!r}: {error}"
        ) from None
    entries = []
    for meta_graph in saved_model.meta_graphs:
        entries += _rename(meta_graph, chosen)
    try:
        data = saved_model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise ValueError(f"the graphs in {str(source)!r} do not fit into a file: {error}") from None
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_FILES), dirs_exist_ok=True)
    (target / "saved_model.pb").write_bytes(data)
    fingerprinting_utils.write_fingerprint(str(target))
    return Report(tuple(entries))


def _rename(meta_graph: Any, chosen: frozenset[str]) -> list[Entry]:
    entries, renamed = [], set()
    xla = bool(_library.build_info().get("xla"))
    for found in graphs.depthwise_nodes(meta_graph.graph_def, everything=True):
        ours, why = found.ours, "saved so"
        if not ours:
            if found.op not in chosen:
                why = "not among the ops that were asked for"
            elif found.compiled and not xla:
                why = "compiled by XLA, and this build has no XLA kernels"
            else:
                ours, why = True, "renamed"
                found.node.op = family.OPS[found.op].ours
                renamed.add(found.node.op)
        by = "ours" if ours else "stock"
        entries.append(Entry(found.op, by, why, found.function or "the graph", found.node.name))
    listed = {op.name for op in meta_graph.meta_info_def.stripped_op_list.op}
    for name in sorted(renamed - listed):
        meta_graph.meta_info_def.stripped_op_list.op.append(op_def_registry.get(name))
    return entries
