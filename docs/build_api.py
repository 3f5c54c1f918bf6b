"""Builds the API reference from the docstrings with pdoc: `python docs/build_api.py [FOLDER]`; fails on any warning."""

import sys
import warnings
from pathlib import Path

import pdoc
import pdoc.render

#: Loading the definitions means loading a profile, and they have nothing to read.
MODULES = ("quant_core", "quant_assets", "!quant_assets.definitions")


def build(folder: Path, modules: tuple[str, ...] = MODULES) -> list[str]:
    """Write the reference of all public modules into `folder`; what pdoc warned of."""
    pdoc.render.configure(docformat="google", show_source=False, footer_text="AI Quant Research Lab")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        pdoc.pdoc(*modules, output_directory=folder)
    return [str(warning.message) for warning in seen if "pdoc" in Path(warning.filename).parts]


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "api"
    found = build(target)
    print("\n".join(found) or target / "index.html")
    sys.exit(bool(found))
