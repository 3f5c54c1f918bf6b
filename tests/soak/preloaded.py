"""A wall clock that a test sets and a disk that fails when it says so, for whole trees of processes.

Both are preloaded (shifted_clock.c, failing_disk.c) and obey a few numbers in a file. Needs Linux and a C compiler.
"""

import mmap
import shutil
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

VARIABLE = "SHIFTED_CLOCK"


@dataclass(frozen=True)
class ShiftedClock:
    """The clock of all processes that have `environment`, in a file of one number."""

    file: Path
    library: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process that lives by this clock."""
        return {"LD_PRELOAD": str(self.library), VARIABLE: str(self.file)}

    def set(self, moment: datetime) -> None:
        """Make it `moment` now; it goes on from there."""
        shift_to(self.file, moment.timestamp() - monotonic_wall())


def shift_to(file: Path, offset_s: float) -> None:
    """Write the offset in place: processes have the file mapped."""
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 8) as page:
        page[:8] = struct.pack("d", offset_s)


def monotonic_wall() -> float:
    """The machine's own time, also in a process that preloads the clock: seconds since boot, and when that was."""
    booted = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line[:5] == "btime")
    return booted + time.clock_gettime(time.CLOCK_BOOTTIME)


def make_clock(folder: Path) -> ShiftedClock:
    """Compile it; skips the test where that cannot be done."""
    clock = ShiftedClock(folder / "clock", compiled("shifted_clock", folder))
    clock.file.write_bytes(struct.pack("d", 0.0))
    return clock


@dataclass(frozen=True)
class FailingDisk:
    """The disk under `folder`, for all processes that have `environment`."""

    file: Path
    library: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process that has this disk."""
        names = {"FAILING_DISK": str(self.file), "FAILING_FOLDER": str(self.folder)}
        return {"LD_PRELOAD": str(self.library), **names}

    def set(self, bytes_left: int = 2**60, read_only: bool = False) -> None:
        """How much can still be written, and whether anything can."""
        self.file.write_bytes(struct.pack("qq", bytes_left, read_only))


def make_disk(folder: Path, of: Path) -> FailingDisk:
    """A disk under `of` that does not fail yet."""
    disk = FailingDisk(folder / "disk", compiled("failing_disk", folder), of)
    disk.set()
    return disk


def compiled(name: str, folder: Path) -> Path:
    """The library made from `name`.c beside this module."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("to shift the clock or fail the disk of whole processes needs Linux and a C compiler (cc)")
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-lm", "-ldl"], check=True)
    return library
