"""Pages of the site that are files elsewhere in the repository: mkdocs.yml names this module."""

import ast
import pathlib
import re
from collections.abc import Iterator

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


def on_page_content(html, page, config, files):
    """Ends the build where the reference lacks something public."""
    from mkdocs.exceptions import PluginError

    if page.file.src_uri == "api.md" and (missing := lacking(html)):
        raise PluginError(f"{page.file.src_uri} has no {', '.join(missing)}")


def lacking(html: str) -> list[str]:
    """The public names that a page does not describe."""
    there = set(re.findall(r'id="(tf_dwbp\.[\w.]+)"', html))
    return [name for name in public_names() if name not in there]


def public_names() -> Iterator[str]:
    """What users import, by the name under which the reference has it."""
    yield "tf_dwbp.build_info"
    for module in ("ops", "nn", "keras", "swap"):
        path = _ROOT / "tf_dwbp" / module
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for name in _public(ast.parse(path.read_text(encoding="utf-8")).body):
            # A module of the same name hides the function from what reads the docstrings.
            hidden = (path.parent / f"{name}.py").exists() and path.name == "__init__.py"
            yield f"tf_dwbp.{module}.{name}{f'.{name}' if hidden else ''}"


def _public(statements):
    """Those of `__all__`, else functions and classes without an underscore."""
    for statement in statements:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return ast.literal_eval(statement.value)
    defined = (s for s in statements if isinstance(s, (ast.FunctionDef, ast.ClassDef)))
    return [statement.name for statement in defined if not statement.name.startswith("_")]


def page_of(text: str) -> str:
    """The text of a file in the repository's root, as a page of the site."""
    text = re.sub(r"\]\(docs/", "](", text)
    for source, page in _PAGES.items():
        text = text.replace(f"]({source})", f"]({page})")
    return text
