"""The documentation as a page: README, docs/, EXPERIMENTS.md and docstrings, by `bash run.sh docs`.

The Markdown files are those that are read in the repository. Links from them to code and folders,
which are no pages, become their words.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

project = "CANet: skeletons of shapes"
copyright = "MIT for the code"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = [
    "README.md",
    "EXPERIMENTS.md",
    "docs/*.md",
    "docs/experiments/*.md",
    "docs/site/*.md",
    "input/README.md",
    "results/cpu/tables.md",
    "submissions/README.md",
    "weights/canet_axis/README.md",
    "weights/geometry/README.md",
]
myst_heading_anchors = 4
napoleon_google_docstring = True
default_role = "literal"  # as docstrings here use single backquotes
highlight_language = "none"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
html_theme = "furo"
html_title = "CANet"
html_show_sphinx = html_show_sourcelink = html_copy_source = False
templates_path = ["."]
html_additional_pages = {"index": "index.html"}  # leads to the root

CONTENTS = """

```{toctree}
:hidden:
:caption: Use

docs/skeletonize
docs/geometry
docs/recipes
docs/postprocessing
docs/large-shapes
docs/site/python
```

```{toctree}
:hidden:
:caption: Run

docs/search
docs/report
docs/tables
docs/gpu-and-cluster
docs/durability
input/README
submissions/README
```

```{toctree}
:hidden:
:caption: Measurements

EXPERIMENTS
docs/experiments/network
docs/experiments/geometry
docs/experiments/tables
docs/experiments/speed
docs/experiments/robustness
results/cpu/tables
weights/canet_axis/README
weights/geometry/README
```
"""
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)(#[^)]*)?\)")


def words_for_code(app, page: str, source: list[str]) -> None:
    """Prepare a page: links to what is no page become their words; the first gets the contents."""
    here = (ROOT / page).parent

    def link(found: re.Match) -> str:
        label, target, _ = found.groups()
        path = Path(os.path.normpath(here / target))
        is_page = path.suffix == ".md" and app.env.path2doc(str(path)) in app.env.found_docs
        return found.group() if is_page else label

    source[0] = LINK.sub(link, source[0]) + (CONTENTS if page == root_doc else "")


def setup(app) -> None:
    app.connect("source-read", words_for_code)
