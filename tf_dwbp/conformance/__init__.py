"""Conformance: what the input gradient must be, and who computes it.

`reference` defines the op, `cases` lists the configurations, `verdicts` judges one answer,
`targets` names the implementations, `runner` asks them in processes of their own (`worker`),
`report` shows the outcome, `command` is the command line's view of all this.
"""
