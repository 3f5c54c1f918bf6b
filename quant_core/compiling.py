"""How loops over arrays are compiled where the same rows must give the same bits."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile without fast-math: re-association would make values depend on the vector width."""
    options: Any = {"cache": True, "nogil": True, "fastmath": False, "error_model": "numpy", "no_cfunc_wrapper": True}
    return cast("Function", numba.njit(**options)(function))
