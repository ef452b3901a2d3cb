"""Constants, as Python floats: they adopt the dtype of what they meet."""

from __future__ import annotations

import numpy as np

e = float(np.e)
euler_gamma = float(np.euler_gamma)
inf = float("inf")
nan = float("nan")
newaxis = None
pi = float(np.pi)
