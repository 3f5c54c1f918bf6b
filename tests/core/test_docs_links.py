"""Documentation holds together: links lead somewhere, every page is on the index, names in docstrings exist."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)
#: A full name in backquotes, as docstrings give it.
NAMED = re.compile(r"`((?:quant_core|quant_assets)(?:\.\w+)+)`")
#: A page or file that a docstring, a comment or a message sends its reader to.
SENT = re.compile(r"\b(?:docs|quant_core|quant_assets|benchmarks|tests)/[\w/-]+\.(?:md|sh|py|csv|yaml)")


def links(page: Path) -> list[str]:
    """Targets of the page's links, code aside."""
    return LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """What a heading of the page is called in an address, as GitHub makes it."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")
        found.add(
            name if name not in found else next(f"{name}-{n}" for n in range(1, 99) if f"{name}-{n}" not in found)
        )
    return found


def test_there_are_pages_to_look_at() -> None:
    assert len(PAGES) > 30
    assert sum(len(links(page)) for page in PAGES) > 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_there = target.exists() and (not anchor or target.suffix != ".md" or anchor in anchors(target))
        if not is_there:
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_index() -> None:
    named = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "README.md")}
    assert [page.name for page in DOCS.glob("*.md") if page.name != "README.md" and page.resolve() not in named] == []


def docstrings() -> Iterator[tuple[str, str]]:
    """(file, docstring) of every module, class and function."""
    for path in sorted([*(ROOT / "quant_core").rglob("*.py"), *(ROOT / "quant_assets").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (said := ast.get_docstring(node)):
                yield str(path.relative_to(ROOT)), said


def exists(name: str) -> bool:
    """Whether a dotted name is a module or something of one."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ImportError:
            continue
        for part in parts[n:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.slow
def test_every_full_name_in_a_docstring_exists() -> None:
    named = {(file, name) for file, said in docstrings() for name in NAMED.findall(said)}
    assert len(named) > 5
    assert sorted((file, name) for file, name in named if not exists(name)) == []


def test_every_file_that_the_code_names_exists() -> None:
    sources = [*(ROOT / "quant_core").rglob("*.py"), *(ROOT / "quant_assets").rglob("*.py")]
    sent = {(path.name, page) for path in sources for page in SENT.findall(path.read_text(encoding="utf-8"))}
    assert len(sent) > 20
    assert sorted((file, page) for file, page in sent if not (ROOT / page).is_file()) == []
