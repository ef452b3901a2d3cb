"""How Sphinx makes the site from this folder: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

import wengert

sys.path.insert(0, str(Path(__file__).parent))

# the class is described under the name that users know
wengert.Array.__name__ = wengert.Array.__qualname__ = "Array"

project = "Wengert"
author = "Wengert developers"
release = version = wengert.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "reference",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # signatures stay readable; the docstrings say what is taken
autodoc_preserve_defaults = True
autodoc_member_order = "alphabetical"
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_attr_annotations = False

html_theme = "furo"
html_title = f"Wengert {version}"
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
