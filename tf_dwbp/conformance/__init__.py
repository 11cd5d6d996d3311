"""Conformance: what the ops and their gradients must be, and who computes it.

`cases` lists the configurations, `verdicts` judges one answer, `paths` names the ways to one,
`runner` asks these in processes of their own (`worker`), `results` is what they did, `summary`,
`terminal` and `export` show it, `command` is the command line's view of all this. The definition of
the ops and the bound on errors are in `tools`.
"""
