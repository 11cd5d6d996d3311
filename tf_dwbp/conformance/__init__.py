"""Conformance: what the ops and their gradients must be, and who computes it.

`reference` defines the ops, `cases` lists the configurations, `verdicts` judges one answer,
`targets` names the implementations, `runner` asks them in processes of their own (`worker`),
`results` is what they did, `summary`, `terminal` and `export` show it, `command` is the command
line's view of all this.
"""
