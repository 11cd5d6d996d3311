"""Pages of which parts are made by a program: each part stands between two marks."""


def put_into(page: str, text: str, begin: str, end: str) -> str:
    """The page with another text between its two marks.

    Raises:
      ValueError: the page has no such marks.
    """
    before, _, rest = page.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"the page must have {begin!r} and, later, {end!r}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def marks(part: str, program: str) -> tuple[str, str]:
    """The two marks of a part that a program makes."""
    return f"<!-- {part}: by {program} -->", f"<!-- end of {part} -->"
