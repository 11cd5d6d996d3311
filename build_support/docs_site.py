"""Pages of the site that are files elsewhere in the repository: mkdocs.yml names this module."""

import pathlib
import re

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}


def on_files(files, config):
    """Adds them, with links as they are from the site's folder."""
    from mkdocs.structure.files import File

    for source, page in _PAGES.items():
        text = (_ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=page_of(text)))
    return files


def page_of(text: str) -> str:
    """The text of a file in the repository's root, as a page of the site."""
    text = re.sub(r"\]\(docs/", "](", text)
    for source, page in _PAGES.items():
        text = text.replace(f"]({source})", f"]({page})")
    return text
