"""What reports of measured times have in common: tables, figures and the machine, as text."""

import rich.table

from tf_dwbp.tools.statistics import Spread

NONE = "–"  # where there is no figure
_ASCII = {ord("–"): "-", ord("±"): "+-"}


def encodable(text: str, encoding: str) -> str:
    """A text without the characters that an encoding other than UTF-8 may lack."""
    return text if encoding.startswith("utf") else text.translate(_ASCII)


def new_table(**options) -> rich.table.Table:
    """A table with few lines, and nothing around it."""
    return rich.table.Table(
        header_style="bold",
        box=rich.box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        **options,
    )


def machine_text(machine: dict) -> str:
    """The processor and the software, in one line."""
    software = f"TensorFlow {machine['tensorflow']}, oneDNN "
    software += "on" if machine["onednn"] == "1" else "off"
    if "peer" in machine:
        software += f", {machine['peer']}"
    if machine["forced_cpu_isa"]:
        software += f", TF_DWBP_CPU_ISA={machine['forced_cpu_isa']}"
    if told := machine.get("told_l3_mb"):
        software += f", TF_DWBP_L3_MB={told}"
    return f"{machine['cpu']}, {machine['threads']} threads; {software}"


def milliseconds(time: Spread | None, spread: bool = True) -> str:
    """The median to three digits, and half the interquartile range as a share of it."""
    if time is None:
        return NONE
    value = time.median * 1e3
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    around = f" ±{(time.high - time.low) / 2 / time.median:4.0%}" if spread else ""
    return f"{value:.{digits}f}{around}"


def percent(share: float | None) -> str:
    """A share, in whole percents where there are any."""
    if share is None:
        return NONE
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"


def quartiles(ratio: Spread, spread: bool = True) -> str:
    """A ratio's quartiles, in brackets."""
    return f" ({ratio.low:.2f}–{ratio.high:.2f})" if spread else ""
