"""Peak memory of a scalar chain of 1,000,000 multiplications with its backward walk, in bytes an operation.

python -m benchmarks.memory
"""

from __future__ import annotations

import subprocess
import sys

from .measure import progress

OPERATIONS = 1_000_000

# The gradient of x ** (count + 1) at 1 is count + 1, which the program checks. A chain of 1,000 comes first, so that
# what a library sets up once is in the baseline. ru_maxrss survives exec on Linux and would show the size of the
# process that started this one where that was larger; VmHWM is the same number without that.
PROGRAM = """
import resource, sys
import numpy as np
import {library} as library

def peak():
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def run(count):
    x = library.tensor(np.ones(()), requires_grad=True)
    y = x
    for _ in range(count):
        y = y * x
    y.backward()
    assert x.grad.item() == count + 1, x.grad

run(1000)
baseline = peak()
run({count})
print((peak() - baseline) / {count})
"""


def bytes_per_operation(library: str, count: int = OPERATIONS) -> float:
    """Run the chain in a process of its own, and give how much its peak grew, by operation.

    Raises RuntimeError with what the program wrote if it fails.
    """
    command = [sys.executable, "-c", PROGRAM.format(library=library, count=count)]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(process.stderr)
    return float(process.stdout)


def measure() -> dict[str, float]:
    """Give the bytes an operation of nbgrad and torch."""
    return {library: bytes_per_operation(library) for library in progress(("nbgrad", "torch"), "memory")}


if __name__ == "__main__":
    for library, size in measure().items():
        print(f"{library:8} {size:.0f} bytes an operation")
