"""Benchmark: how fast the op is beside other implementations and beside the machine's limits.

`shapes` lists what is measured, `call` is one shape in a type and layout, `peers` and `limits`
make functions out of it, `measure` times these in turn, `results` keeps the times and what
follows from them, `runner` has a process of its own do it (`worker`), `report` and `plot` show
the outcome, `docs` puts it into pages, `command` is the command line's view of all this.
"""
