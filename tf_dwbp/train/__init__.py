"""Training of real models, swapped in or not, and a comparison of the two.

`compare` has several models train in turn from one checkpoint, `results` keeps what they did and
judges it, `report` and `plot` show it, `command` is the command line's view of all this. The models
themselves, their images and what trains them, which the benchmark has as well, are in `tools`.
"""
