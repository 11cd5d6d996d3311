"""Writes the table of exhibits into docs/museum.md: `python tests/museum/table.py`."""

import collections
import pathlib
import sys

PAGE = pathlib.Path(__file__).absolute().parents[2] / "docs" / "museum.md"
BEGIN, END = "<!-- exhibits: by tests/museum/table.py -->", "<!-- end of exhibits -->"

_HEAD = (
    "| exhibit, op | what is wrong | report | found by | after |\n| --- | --- | --- | --- | --: |\n"
)


def row(exhibit, found) -> str:
    """The line of an exhibit that was found."""
    owner, number = exhibit.report.split("#")
    link = f"[{owner.partition('/')[2]}#{number}](https://github.com/{owner}/issues/{number})"
    order = f", order {exhibit.order}" if exhibit.order else ""
    how = "" if exhibit.found == "conformance" else f"{exhibit.found}: "
    check = ""
    if found.verdict == "inconsistent":
        check = f", {found.evidence.partition(':')[0]}"
    what = exhibit.what[0].upper() + exhibit.what[1:]
    cells = [
        f"`{exhibit.id}`, {exhibit.op}{order}",
        what,
        link,
        f"{how}{found.verdict}{check}, `{found.call.partition(':')[2]}`",
        str(found.number),
    ]
    return f"| {' | '.join(cells)} |\n"


def body(rows: list[str]) -> str:
    """The table."""
    return _HEAD + "".join(rows)


def main() -> int:
    import exhibits
    from tf_dwbp.tools.pages import put_into

    rows, ways = [], collections.Counter()
    for exhibit in exhibits.ALL:
        how = (exhibit.op, exhibit.found, exhibit.order, exhibit.fatal)
        found = exhibits.find(exhibit.function, *how)
        if not found:
            print(f"{exhibit.id} is not found", file=sys.stderr)
            return 1
        rows.append(row(exhibit, found))
        ways[exhibit.found] += 1
    page = put_into(PAGE.read_text(encoding="utf-8"), f"\n{body(rows)}", BEGIN, END)
    PAGE.write_text(page, encoding="utf-8")
    print(f"{len(rows)} exhibits: {', '.join(f'{n} by {way}' for way, n in ways.items())}")
    return 0


if __name__ == "__main__":
    here = pathlib.Path(__file__).absolute().parent
    sys.path[:0] = [str(here), str(here.parents[1])]
    sys.exit(main())
