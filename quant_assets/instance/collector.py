"""Python's garbage collector, where it looks through what is only made to stay; imports nothing of the lab's."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """While modules are imported and definitions are made: it took a fifth of that time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def garbage_freed() -> Iterator[None]:
    """Frees what the work inside leaves in circles, tables among it, which only the collector opens.

    It looks through what was made inside, not through the libraries: that took a quarter of a second a run.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
