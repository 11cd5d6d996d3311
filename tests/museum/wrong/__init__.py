"""Wrong implementations of the depthwise ops, each after a public report.

Each is a function with its op's signature, which `tf-dwbp conformance` and `tf-dwbp fuzz` take as a
target: `--target wrong.padding:symmetric --op forward`, with this folder's parent on PYTHONPATH. A
docstring begins with the report, and says what was wrong there; where a report does not tell how
it came about, the code is a guess that shows the same.
"""
