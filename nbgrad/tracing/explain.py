"""What a plan's steps are, the bytes that they move, and how long they take."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from .plan import Plan


def explain(plan: Plan, arrays: Sequence[Any], rounds: int = 20) -> str:
    """Describe the steps with the bytes they move and the microseconds they take on these arrays, at best."""
    count = len(plan.steps)
    lines = [f"{count} step{'s' * (count != 1)}, {sum(plan.memory.buffers)} bytes of workspace"]
    for number, (step, seconds) in enumerate(zip(plan.steps, step_times(plan, arrays, rounds), strict=True), 1):
        rate = f"{step.bytes / seconds / 1e9:.1f} GB/s" if seconds > 0 else ""
        lines.append(f"{number:3}. {step.label}: {step.bytes} bytes in {seconds * 1e6:.1f} us {rate}")
        if step.source is not None:
            counts = Counter(step.operations)
            lines.append("     " + ", ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items()))
    return "\n".join(lines)


def step_times(plan: Plan, arrays: Sequence[Any], rounds: int) -> list[float]:
    """Run the steps with a clock around each, some rounds, and give the least seconds of each."""

    def clock() -> float:
        plan.compiler.wait()
        return time.perf_counter()

    lines = []
    for number, step in enumerate(plan.steps):
        lines += ["start = clock()", *step.lines, f"times[{number}] = clock() - start"]
    times = [0.0] * len(plan.steps)
    # a graph knows no clock, so that there each round has a new workspace; elsewhere that would be new pages each time
    run = plan.compiled(plan.written(lines, keeps=not plan.compiler.streams), clock=clock, times=times)
    best = [math.inf] * len(plan.steps)
    for _ in range(rounds):
        run(*arrays)
        best = [min(b, t) for b, t in zip(best, times, strict=True)]
    return best
