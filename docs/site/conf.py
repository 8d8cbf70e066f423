"""The site that `make docs` builds with Sphinx, from the pages as they are: all of it without a network.

Pages lie where GitHub shows them, so the source directory is the repository and only its pages are included.
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

project = "udamon"
author = "the udamon authors"
copyright = "the udamon authors, Apache-2.0"
extensions = ["myst_parser"]
exclude_patterns = [".venv", ".work", "build", "dist"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md"]
suppress_warnings = ["misc.highlighting_failure"]  # documents are shown as JSON, with … for what is left out
myst_heading_anchors = 4  # sections are named as GitHub names them
html_theme = "furo"
html_title = "udamon"
html_copy_source = False
html_show_sphinx = False


def setup(app: Any) -> None:
    """Make the pages that come from the program itself before any page is read."""
    from scripts import reference

    app.connect("builder-inited", lambda _: reference.write())
