"""Names for the arrays that features are made of; the compiled kernels and the code that calls them share these."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatPanel = NDArray[np.float64]  # (N, T) one row a ticker, one column a session; NaN for no value
BoolPanel = NDArray[np.bool_]  # (N, T)
Row = NDArray[Any]  # one value a long row
