"""How long a compiler takes to its first value and gradients, in processes of their own: the first, and a second one.

python -m benchmarks.programs.first lstm small jax     prints the seconds in this process, without those of imports,
                                                       and the time of day then
"""

from __future__ import annotations

import compileall
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache as once
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from . import PROGRAMS
from .libraries import LIBRARIES, NAMES

#: The libraries that compile.
COMPILERS = ("nbgrad", "jax", "torch.compile")
#: What names the directory of what each keeps for other processes, and has it keep all that there is.
_CACHES = {
    "nbgrad": ("NBGRAD_CACHE_DIR", {}),
    "jax": (
        "JAX_COMPILATION_CACHE_DIR",
        {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"},
    ),
    "torch.compile": ("TORCHINDUCTOR_CACHE_DIR", {}),
}


class First(NamedTuple):
    """Seconds to the first results: with an empty cache, and in a second process, which finds what the first left.

    Both without imports, as far as those come before the call, and both from the start of the process.
    """

    cold: float
    warm: float
    cold_process: float
    warm_process: float


def seconds_of(name: str, size: str, library: str) -> float:
    """Give the seconds from a program's arrays to its first results, in this process."""
    program = PROGRAMS[name]
    arrays = program.make(size)
    NAMES[library]()  # imports it
    start = time.perf_counter()
    LIBRARIES[library](program, arrays)()
    return time.perf_counter() - start


def first_calls(name: str, size: str, library: str, patience: float) -> First | None:
    """Give the same of new processes; None if one takes longer than there is patience for.

    Raises RuntimeError where the library fails.
    """
    variable, others = _CACHES[library]
    _write_bytecode()
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | others | {variable: cache}
        cold = _in_a_process(name, size, library, patience, environment)
        warm = None if cold is None else _in_a_process(name, size, library, patience, environment)
    return None if cold is None or warm is None else First(cold[0], warm[0], cold[1], warm[1])


@once
def _write_bytecode() -> None:
    """Do what installing a package does: the sources of a checkout are not to be compiled in every process."""
    spec = find_spec("nbgrad")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    for place in (package, package / "kernels"):  # which is a link in a checkout, and would be passed over
        compileall.compile_dir(place, quiet=2)


def _in_a_process(
    name: str, size: str, library: str, patience: float, environment: dict[str, str]
) -> tuple[float, float] | None:
    """Give the seconds that a process says its first call took, and those since it was started."""
    command = [sys.executable, "-m", "benchmarks.programs.first", name, size, library]
    start = time.time()
    # a session of its own, so that the compilers that it starts end with it
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            printed, said = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None
    if process.returncode:
        raise RuntimeError((said.strip().splitlines() or ["no reason given"])[-1][:120])
    seconds, end = map(float, printed.strip().splitlines()[-1].split())
    return seconds, end - start


if __name__ == "__main__":
    print(seconds_of(*sys.argv[1:4]), time.time())
