"""From a program to a function: memory for values, shared where they do not live together, and the steps in order."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..kernels import devices
from ..kernels.cpu.launch import ARGUMENT, FIXED, RESULT, Launch, replayer
from .grouping import Group, Grouping
from .loops import Loop, label_of
from .program import (
    Call,
    Constant,
    Fold,
    Input,
    Literal,
    Node,
    Program,
    View,
    apply_views,
    is_view,
    literal_value,
    reshaped,
    root_of,
)
from .targets import Target


class Plan:
    """The steps of a program, for the shapes it was traced with."""

    def __init__(self, program: Program, outputs: Sequence[Node], target: Target, donated: Sequence[int] = ()) -> None:
        self.program, self.outputs, self.target = program, list(outputs), target
        self.donated = set(donated)
        self.grouping = Grouping(program, self.outputs, target.most_sources)
        self._given: set[Node] = set()
        self.launches: list[tuple[Launch | None, list[str]]] = []
        self.taken: set[str] = set()  # donated inputs that a result is written over
        self.explained: list[dict[str, Any]] = []
        self.markers: list[str] = []  # how the line of each step begins
        self.run = self._write()

    # ---- writing it all down ----------------------------------------------------------------------------------------

    def _write(self) -> Callable[..., Any]:
        """Write the function that runs the steps."""
        self.namespace: dict[str, Any] = {
            "empty": self.target.empty,
            "contiguous": self.target.contiguous_array,
            "broadcast_to": self.target.broadcast_to,
            "settled": self._settled,
            "is_free": self._is_free,
            "all_apart": _all_apart,
        }
        self.place: dict[Node, str] = {}
        for node in self.program.inputs:
            assert isinstance(node.operation, Input)
            self.place[node] = f"x{node.operation.position}"
        lines: list[str] = []
        fresh: dict[str, str] = {}  # how the arrays of results are made, by name
        # what is looked at in every run may be of no other use: labels of one class
        looked_at = [root_of(node) for _, node in self.program.checks]
        for node in dict.fromkeys([*self.grouping.used, *looked_at]):
            if isinstance(node.operation, Constant):
                name = f"constant{node.number}"
                self.place[node] = name
                self.namespace[name] = self.target.constant(node.array)
            elif isinstance(node.operation, Literal):
                self.place[node] = f"constant{node.number}"
                self.namespace[self.place[node]] = self.target.constant(np.array(literal_value(node), node.dtype))
        # what a result is only a reshaping of is made in the result's shape at once
        self.returned: dict[Node, tuple[int, ...]] = {}
        for node in self.outputs:
            root = reshaped(node)
            if root in self.grouping.stored:
                self.returned.setdefault(root, node.shape)
        last: dict[Node, int] = {}
        for number, step in enumerate(self.grouping.steps):
            for root in self._read_by(step):
                last[root] = number
        for node in self.outputs:
            last[root_of(node)] = len(self.grouping.steps)
        buffers: list[int] = []  # sizes in bytes
        free: list[int] = []
        held: dict[Node, int] = {}
        views: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]] = {}
        for number, step in enumerate(self.grouping.steps):
            made = [n for n in step.nodes if n in self.grouping.stored] if isinstance(step, Group) else [step]
            for node in made:
                name = f"v{node.number}"
                self.place[node] = name
                if isinstance(node.operation, Call) and not node.operation.into:
                    continue
                if node in self.returned:
                    made_by = f"empty({self.returned[node]}, dtype_{node.dtype.name})"
                    given = self._donation(node, step, number)
                    if given is not None:
                        others = "".join(f"{place}, " for place in self._arrays() if place != given)
                        made_by = f"{given} if apart and is_free({given}) or is_free({given}, {others}) else {made_by}"
                    fresh[name] = made_by
                    self.namespace[f"dtype_{node.dtype.name}"] = node.dtype
                    continue
                held[node] = self._buffer(buffers, free, node.size * node.dtype.itemsize)
                views[name] = (held[node], node.shape, node.dtype)
            if isinstance(step, Group):
                temporary: list[int] = []

                def scratch(shape: tuple[int, ...], dtype: Any, temporary: list[int] = temporary) -> str:
                    index = self._buffer(buffers, free, math.prod(shape) * np.dtype(dtype).itemsize)
                    temporary.append(index)
                    name = f"s{len(views)}"
                    views[name] = (index, shape, np.dtype(dtype))
                    return name

                lines += self._launch(step, scratch)
                free.extend(temporary)
            else:
                lines.append(self._call(step))
            for node in [n for n in held if last.get(n, -1) <= number]:
                free.append(held.pop(node))
        self.results = [self._result(node) for node in self.outputs]
        self.workspace = list(views)
        self.workspace_bytes = sum(buffers)
        self.text = self._function(lines, fresh)

        def make() -> list[Any]:
            memory = [self.target.empty(max(size, 1), np.uint8) for size in buffers]
            return [
                memory[index][: math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
                for index, shape, dtype in views.values()
            ]

        self.namespace |= {"make": make, "stream": self.target.stream, "Workspace": self.target.workspace}
        return self._compiled(self.text)

    def _function(self, lines: Sequence[str], fresh: dict[str, str]) -> str:
        """Write the function `run`; where there are streams, with the steps in another one, which can be captured."""
        inputs = [f"x{i}" for i in range(len(self.program.inputs))]
        head = [f"def run({', '.join(inputs)}):"]
        if self.taken:
            head.append(f"    apart = all_apart({', '.join(self._arrays())})")
        begins, ends = [], []
        for number, ((_, node), begin) in enumerate(self.program.checks.items()):
            self.namespace[f"check{number}"] = begin
            begins.append(f"    look{number} = check{number}({self.viewed(node)})")
            ends.append(f"    look{number}()")
        if self.taken:  # nothing is lost where a look finds a fault
            begins, ends = [*begins, *ends], []
        head += begins
        head += [f"    {name} = {text}" for name, text in fresh.items()]
        names = f"    {_tuple(self.workspace)} = workspace"
        # made before another thread may have the workspace
        results = f"    results = {_tuple(self.results)}"
        back = ["    spare.append(workspace)", *ends, "    return results"]
        taken = ["    try:", "        workspace = spare.pop()", "    except IndexError:"]
        if not self.target.streams:
            if not self.workspace:
                return _text([*head, *lines, results, *back[1:]])
            return _text([*head, *taken, "        workspace = make()", names, *lines, results, *back])
        called = [self.place[root_of(n)] for n in self.outputs if isinstance(root_of(n).operation, Call)]
        called = [name for name in dict.fromkeys(called) if name not in fresh and name not in self.workspace]
        given = [*inputs, *fresh]
        donated = [inputs.index(name) for name in self.taken]
        run = [
            "    spare = kept[stream()]",  # memory belongs to the stream on which the call that had it may still run
            *taken,
            f"        workspace = Workspace(steps, make(), {len(inputs)}, {donated})",
            f"    {_tuple(called) + ' = ' if called else ''}workspace.run({_tuple(given)})",
        ]
        if any(self.place[root_of(node)] in self.workspace for node in self.outputs):
            run.append(f"{names}.arrays")
        steps = [f"def steps({', '.join([*given, *self.workspace])}):", *lines, f"    return {_tuple(called)}"]
        return _text([*steps, "", "", *head, *run, results, *back])

    def _compiled(self, text: str, **names: Any) -> Callable[..., Any]:
        """Compile `run`, with a workspace of its own."""
        namespace = {**self.namespace, "spare": [], "kept": defaultdict(list), **names}
        exec(compile(text, "<nbgrad jit>", "exec"), namespace)
        run: Callable[..., Any] = namespace["run"]
        return run

    def _arrays(self) -> list[str]:
        """Name the arrays from outside."""
        return [self.place[x] for x in self.grouping.used if isinstance(x.operation, Input | Constant)]

    def _donation(self, node: Node, group: Group, number: int) -> str | None:
        """Find a donated input in whose place a result may be written, element for element as the input is read."""
        for x in self.program.inputs:
            assert isinstance(x.operation, Input)
            place = f"x{x.operation.position}"
            if x.operation.position not in self.donated or place in self.taken:
                continue
            if x.shape != node.shape or x.shape != self.returned[node] or x.dtype != node.dtype:
                continue
            if x.shape != group.space or any(root_of(output) is x for output in self.outputs):
                continue
            readers = [(i, step) for i, step in enumerate(self.grouping.steps) if x in self._read_by(step)]
            if any(i > number for i, _ in readers):
                continue
            if any(step is group for _, step in readers):
                # read once, and as it lies: another stage would come back to what has been written over
                uses = [y for n in group.nodes for y in n.inputs if root_of(y) is x]
                rows = any(isinstance(n.operation, Fold) and self.grouping.over(group, n) == "row" for n in group.nodes)
                if rows or any(is_view(y) for y in uses):
                    continue
            self.taken.add(place)
            return place
        return None

    def _read_by(self, step: Any) -> set[Node]:
        nodes = step.nodes if isinstance(step, Group) else [step]
        roots = set()
        for node in nodes:
            for x in node.inputs:
                roots.add(root_of(x))
        return roots

    @staticmethod
    def _buffer(buffers: list[int], free: list[int], size: int) -> int:
        """Give a piece of memory of at least a size: the smallest free one that is large enough, else a new one."""
        fitting = [index for index in free if size <= buffers[index] <= 4 * size + 4096]
        if fitting:
            best = min(fitting, key=lambda index: buffers[index])
            free.remove(best)
            return best
        buffers.append(size)
        return len(buffers) - 1

    def of(self, node: Node) -> str:
        """Give the name of a value's array."""
        return self.place[node]

    def viewed(self, node: Node) -> str:
        """Write an expression for a value as an array."""
        views = []
        name = f"views{node.number}"
        while isinstance(node.operation, View):
            views.append(node.operation)
            node = node.inputs[0]
        place = self.place[node]
        if self.returned.get(node, node.shape) != node.shape:
            place = f"{place}.reshape({node.shape})"
        if not views:
            return place
        self.namespace["apply_views"] = apply_views
        self.namespace[name] = tuple(reversed(views))
        return f"apply_views({name}, {place})"

    def _call(self, node: Node) -> str:
        operation = node.operation
        assert isinstance(operation, Call)
        arguments = ", ".join(self.viewed(x) for x in node.inputs)
        name = self.place[node]
        self.explained.append(
            {"step": operation.label, "bytes": sum(x.size * x.dtype.itemsize for x in (*node.inputs, node))}
        )
        if operation.into:
            self.markers.append(f"{operation.label}(")
            self.namespace[operation.label] = self.target.called(operation)
            return f"    {operation.label}({arguments}, {name})"
        self.namespace[f"call{node.number}"] = operation.function
        self.markers.append(f"{name} = settled(call")
        self.namespace[f"node{node.number}"] = node
        return f"    {name} = settled(call{node.number}({arguments}), node{node.number}, {arguments})"

    def _result(self, node: Node) -> str:
        root = reshaped(node)
        if self.returned.get(root) == node.shape and root not in self._given:
            self._given.add(root)
            return self.place[root]
        text = self.viewed(node)
        if isinstance(node.operation, Call) and not node.operation.into and node not in self._given:
            self._given.add(node)
            return text
        # the second mention of an output is an array of its own, as is anything seen through a view
        self.namespace["array"] = self.target.copy
        return f"array({text})"

    # ---- looking inside ---------------------------------------------------------------------------------------------

    def explain(self, arrays: Sequence[Any], rounds: int = 20) -> str:
        """Describe the steps with the bytes they move and the microseconds they take on these arrays, at best."""
        times = self._times(arrays, rounds)
        lines = [f"{len(self.explained)} steps, {self.workspace_bytes} bytes of workspace"]
        for number, (step, seconds) in enumerate(zip(self.explained, times, strict=True), 1):
            rate = f"{step['bytes'] / seconds / 1e9:.1f} GB/s" if seconds > 0 else ""
            lines.append(f"{number:3}. {step['step']}: {step['bytes']} bytes in {seconds * 1e6:.1f} us {rate}")
            if "ops" in step:
                counts: dict[str, int] = {}
                for name in step["ops"]:
                    counts[name] = counts.get(name, 0) + 1
                lines.append("     " + ", ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items()))
        return "\n".join(lines)

    def _clock(self) -> float:
        self.target.wait()
        return time.perf_counter()

    def _times(self, arrays: Sequence[Any], rounds: int) -> list[float]:
        """Run the steps with a clock around each."""
        best = [math.inf] * len(self.explained)
        lines, number = [], 0
        for line in self.text.splitlines():
            if line.startswith("    spare.append"):
                continue  # a new workspace in each round: a graph knows no clock
            if number < len(self.markers) and line.strip().startswith(self.markers[number]):
                lines += ["    start = clock()", line, f"    times[{number}] = clock() - start"]
                number += 1
            else:
                lines.append(line)
        times = [0.0] * len(best)
        run = self._compiled("\n".join(lines), clock=self._clock, times=times)
        for _ in range(rounds):
            run(*arrays)
            best = [min(b, t) for b, t in zip(best, times, strict=True)]
        return best

    # ---- loops ------------------------------------------------------------------------------------------------------

    def _launch(self, group: Group, scratch: Callable[..., str]) -> list[str]:
        """Make the loop of a group; gives the lines that run it and what comes after it."""
        builder = Loop(group, self.grouping, self.target, self)
        nest, operands = builder.build()
        sizes, blocks = builder.sizes()
        names = [name for name, _ in operands]
        offsets = [offset for _, offset in operands]
        for operand, _ in nest.kept:
            names.append(scratch((self.target.kept(nest, sizes, blocks),), operand.dtype))
            offsets.append(0)
        for operand, _, over in builder.late:
            shape = (blocks,) if over == "all" else (blocks, builder.width)
            names.append(scratch(shape, operand.dtype))
            offsets.append(0)
        for _, fold_node, _ in builder.late:
            names.append(self.place[fold_node])
            offsets.append(0)
        label = "_".join(dict.fromkeys(label_of(node) for node in group.nodes))[:40]
        first = f"kernel{len(self.explained)}"
        lines = []
        loops = self.target.loops(label, nest, sizes, blocks, offsets, math.prod(group.space))
        for name, (loop, launch) in zip((first, f"{first}_blocks"), loops, strict=False):
            self.namespace[name] = loop
            self.launches.append((launch, names))
            lines.append(f"    {name}({', '.join(names)})")
        self.explained.append(
            {
                "step": f"loop over {group.space}",
                "ops": [label_of(node) for node in group.nodes],
                "bytes": builder.bytes,
                "source": self.target.source(nest),
            }
        )
        self.markers.append(f"{first}(")
        return lines

    def replay(self) -> Callable[..., Any] | None:
        """Give `run` without Python between its steps, which gives None for arrays unlike the arguments.

        None if there is something besides loops on new arrays.
        """
        returned = [self.place.get(reshaped(node)) for node in self.outputs]
        calls = self.program.checks or any(isinstance(step, Node) for step in self.grouping.steps)
        if self.taken or returned != self.results or calls:
            return None
        operands: dict[str, tuple[int, Any]] = {f"x{i}": (ARGUMENT, i) for i in range(len(self.program.inputs))}
        workspace = self.namespace["make"]()
        operands |= {name: (FIXED, array) for name, array in zip(self.workspace, workspace, strict=True)}
        operands |= {name: (RESULT, i) for i, name in enumerate(self.results)}
        operands |= {name: (FIXED, array) for name, array in self.namespace.items() if name.startswith("constant")}
        if any(name not in operands for _, names in self.launches for name in names):
            return None  # a view that has to be made, or a copy
        launches = [
            (launch, [operands[name] for name in names]) for launch, names in self.launches if launch is not None
        ]
        if len(launches) < len(self.launches):
            return None
        arguments = [(node.dtype, node.shape) for node in self.program.inputs]
        return replayer(arguments, [(node.dtype, node.shape) for node in self.outputs], launches)

    # ---- what the written function calls ----------------------------------------------------------------------------

    def _is_free(self, x: Any, *others: Any) -> bool:
        """Tell whether a donated array may be written over: nobody forbids it, and no other one lies in its memory."""
        return devices.is_writeable(x) and not any(self.target.shares_memory(x, other) for other in others)

    def _settled(self, y: Any, node: Node, *arguments: Any) -> Any:
        """Give what a called function gave, as the trace knew it: of its shape and dtype, in memory of its own."""
        y = self.target.settled(y)
        if y.shape != node.shape or y.dtype != node.dtype:
            assert isinstance(node.operation, Call)
            raise TypeError(
                f"jit: {node.operation.label} gave shape {y.shape} and dtype {y.dtype} where the trace had "
                f"{node.shape} and {node.dtype}: a traced function must not give shapes that depend on elements"
            )
        return y.copy() if any(self.target.shares_memory(y, x) for x in arguments) else y


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _tuple(names: Sequence[str]) -> str:
    return f"({''.join(f'{name}, ' for name in names)})"


def _all_apart(*arrays: Any) -> bool:
    """Tell quickly whether arrays are different ones that own their memory, so that no two have any in common."""
    return len(set(map(id, arrays))) == len(arrays) and all([x.base is None for x in arrays])
