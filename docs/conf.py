"""How Sphinx makes the site from this folder: `make docs`."""

from __future__ import annotations

import wengert

project = "Wengert"
author = "Wengert developers"
release = version = wengert.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

default_role = "code"  # `x` in a docstring is code
autodoc_typehints = "none"  # signatures stay readable; the docstrings say what is taken
autodoc_preserve_defaults = True
autodoc_member_order = "alphabetical"
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"Wengert {version}"
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
