"""From a program to steps: nodes gathered into fused loops, memory shared between values that do not live together."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..kernels import codegen, formula
from ..kernels.cpu import fused, threads
from ..kernels.cpu.fused import ELEMENT, NEST, ROW
from ..kernels.cpu.launch import launcher
from .program import Call, Constant, Fold, Input, Literal, Map, Node, Program, View, apply_view, literal_value

#: Operations that go into one loop, at most: LLVM's time grows faster than the text.
_MOST_STEPS = 400
#: Arrays that one loop reads, at most; what it writes and folds is bounded by its operations.
_MOST_SOURCES = 500
#: Elements that a block has, about; partial results are one a block.
_BLOCK = 1 << 15
_MOST_BLOCKS = 64


class Group:
    """Nodes that one loop computes, over a space of which the last `inner` dimensions are the row."""

    def __init__(self, space: tuple[int, ...]) -> None:
        self.space = space
        self.inner: int | None = None
        self.nodes: list[Node] = []
        self.before: set[Group] = set()  # all groups that must run first
        self.late: set[Node] = set()  # folds over all rows: known only after the loop
        self.sources: set[Node] = set()

    def level_of(self, shape: tuple[int, ...], inner: int | None) -> str | None:
        """Tell at which level a value of a shape stands, for rows of `inner` dimensions; None if at none."""
        if shape == self.space:
            return ELEMENT
        if math.prod(shape) == 1 and len(shape) <= len(self.space):
            return NEST
        if inner is None or len(shape) != len(self.space) or not inner:
            return None
        rows = len(self.space) - inner
        return ROW if shape[:rows] == self.space[:rows] and math.prod(shape[rows:]) == 1 else None


class Access:
    """Where a value's elements are: a node with memory, the first element's place, and steps, in elements."""

    def __init__(self, root: Node, offset: int, strides: tuple[int, ...]) -> None:
        self.root, self.offset, self.strides = root, offset, strides


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give the steps, in elements, of an array in C order."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _is_view(node: Node) -> bool:
    return isinstance(node.operation, View)


def _root(node: Node) -> Node:
    """Give what a value is a view of."""
    while isinstance(node.operation, View):
        node = node.inputs[0]
    return node


def _reshaped(node: Node) -> Node:
    """Give what a value is only a reshaping of."""
    while isinstance(node.operation, View) and node.operation.kind == "reshape":
        node = node.inputs[0]
    return node


def _stretched(node: Node) -> Node:
    """Give what a broadcast repeats: a formula's inputs are repeated as needed anyway."""
    while isinstance(node.operation, View) and node.operation.kind == "broadcast":
        node = node.inputs[0]
    return node


class Plan:
    """The steps of a program, for the shapes it was traced with."""

    def __init__(self, program: Program, outputs: Sequence[Node], donated: Sequence[int] = ()) -> None:
        self.program, self.outputs = program, list(outputs)
        self.donated = set(donated)
        self.used = self._used_nodes()
        self.groups: list[Group] = []
        self.group_of: dict[Node, Group] = {}
        self.steps: list[Any] = []  # Groups and Call nodes, in order
        self._views: dict[Node, Access | None] = {}
        self._given: set[Node] = set()
        self.taken: set[str] = set()  # donated inputs that a result is written over
        self._gather()
        self._order()
        self.stored = self._stored_nodes()
        self.explained: list[dict[str, Any]] = []
        self.markers: list[str] = []  # how the line of each step begins
        self.run = self._write()

    # ---- what is computed, and in which loop ------------------------------------------------------------------------

    def _used_nodes(self) -> list[Node]:
        wanted: set[Node] = set()
        stack = list(self.outputs)
        while stack:
            node = stack.pop()
            if node not in wanted:
                wanted.add(node)
                stack.extend(node.inputs)
        return [node for node in self.program.nodes if node in wanted]

    def _gather(self) -> None:
        """Put every formula and fold into a group, into one that is there already where that can be."""
        self.after: dict[Node, set[Group]] = {}  # the groups that a node's memory waits for
        for node in self.used:
            waits: set[Group] = set()
            for x in node.inputs:
                waits |= self.after[x]
            if isinstance(node.operation, Map | Fold):
                group = self._place(node, waits)
                waits = {group} | group.before
            self.after[node] = waits

    def _place(self, node: Node, waits: set[Group]) -> Group:
        fold = node.operation if isinstance(node.operation, Fold) else None
        space = node.inputs[0].shape if fold else node.shape
        inner = self._inner_for(fold, space)
        if inner is not None and inner < 0:  # axes in the middle: a loop over a view in which they are last
            raise AssertionError("folds over axes in the middle are moved to the end when they are traced")
        inputs = [_stretched(x) for x in node.inputs]
        for group in reversed(self.groups[-12:]):
            if self._fits(group, node, fold, space, inner, inputs, waits):
                break
        else:
            group = Group(space)
            self.groups.append(group)
        if inner is not None:
            group.inner = inner
        group.nodes.append(node)
        self.group_of[node] = group
        if fold is not None and self._over(group, node) != "row":
            group.late.add(node)
        for x in inputs:
            if self.group_of.get(x) is not group and not isinstance(x.operation, Literal):
                group.sources.add(x)
        group.before |= waits - {group}
        for other in self.groups:
            if group in other.before:
                other.before |= group.before
        return group

    def _inner_for(self, fold: Fold | None, space: tuple[int, ...]) -> int | None:
        """Give the number of dimensions that a fold needs the row to have; None if it does not matter."""
        if fold is None or len(fold.axes) == len(space):
            return None
        axes, last = fold.axes, len(space) - 1
        if axes[-1] - axes[0] + 1 == len(axes):
            if axes[-1] == last:
                return len(axes)
            if axes[0] == 0:
                return len(space) - len(axes)
        return -1

    def _over(self, group: Group, node: Node) -> str:
        fold = node.operation
        assert isinstance(fold, Fold)
        if len(fold.axes) == len(group.space):
            return "all"
        return "row" if fold.axes[-1] == len(group.space) - 1 else "column"

    def _fits(
        self,
        group: Group,
        node: Node,
        fold: Fold | None,
        space: tuple[int, ...],
        inner: int | None,
        inputs: list[Node],
        waits: set[Group],
    ) -> bool:
        if len(group.nodes) >= _MOST_STEPS or len(group.sources) + len(inputs) > _MOST_SOURCES:
            return False
        if inner is not None and group.inner is not None and inner != group.inner:
            return False
        chosen = inner if inner is not None else group.inner
        shape = node.shape if fold is None else node.inputs[0].shape
        level = group.level_of(shape, chosen)
        if level is None or (level == NEST and group.space and math.prod(group.space) != 1):
            return False
        if fold is not None and (level != ELEMENT and len(fold.axes) != len(group.space)):
            return False
        if fold is None and level == ROW and not any(self.group_of.get(x) is group for x in inputs):
            return False
        # nothing that has to run between the group and the node
        for other in waits:
            if other is not group and group in other.before:
                return False
        for x in inputs:
            if self.group_of.get(x) is group:
                if x in group.late or group.level_of(x.shape, chosen) is None:
                    return False
            elif group in self.after[x]:  # by way of a view, or of a call
                return False
        if inner is not None and group.inner is None:
            # rows take shape only now: what is there must have a level in it, and be read along it
            return all(group.level_of(n.shape, inner) == ELEMENT or n in group.late or n.size == 1 for n in group.nodes)
        return True

    def _order(self) -> None:
        """Bring groups and calls into an order in which everything comes after what it needs."""
        done: set[Any] = set()
        calls = [node for node in self.used if isinstance(node.operation, Call)]
        pending: list[Any] = [*self.groups, *calls]
        position = {node: i for i, node in enumerate(self.used)}
        pending.sort(key=lambda s: position[s.nodes[0]] if isinstance(s, Group) else position[s])
        needs: dict[Any, set[Any]] = {}
        for step in pending:
            nodes = step.nodes if isinstance(step, Group) else [step]
            needed: set[Any] = set()
            for node in nodes:
                for x in node.inputs:
                    root = _root(x)
                    owner: Any = self.group_of.get(root) or (root if isinstance(root.operation, Call) else None)
                    if owner is not None and owner is not step:
                        needed.add(owner)
            needs[step] = needed
        while pending:
            ready = [step for step in pending if needs[step] <= done]
            assert ready, "a cycle between fused loops"
            step = ready[0]
            self.steps.append(step)
            done.add(step)
            pending.remove(step)

    def _stored_nodes(self) -> set[Node]:
        """Find the values of loops that somebody outside of their loop reads."""
        stored: set[Node] = set()

        def reads(x: Node, group: Group | None) -> None:
            root = _root(x)
            owner = self.group_of.get(root)
            if owner is not None and (owner is not group or (_stretched(x) is not root) or root in owner.late):
                stored.add(root)

        for node in self.used:
            if isinstance(node.operation, Map | Fold):
                for x in node.inputs:
                    reads(_stretched(x), self.group_of[node])
            elif isinstance(node.operation, Call):
                for x in node.inputs:
                    reads(x, None)
        for node in self.outputs:
            reads(node, None)
        return stored

    # ---- where things are in memory ---------------------------------------------------------------------------------

    def access(self, node: Node) -> Access | None:
        """Give the place of a value's elements; None where a view of it is none, and NumPy would copy."""
        if node not in self._views:
            self._views[node] = self._access(node)
        return self._views[node]

    def _access(self, node: Node) -> Access | None:
        if not _is_view(node):
            return Access(node, 0, _dense(node.shape))
        base = self.access(node.inputs[0])
        if base is None:
            return None
        view = node.operation
        assert isinstance(view, View)
        inner = node.inputs[0]
        model = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), inner.shape, base.strides)
        if view.kind == "reshape":
            try:
                seen = model.reshape(view.argument, copy=False)
            except ValueError:
                return None
        else:
            seen = apply_view(view, model)
        offset = seen.__array_interface__["data"][0] - model.__array_interface__["data"][0] if seen.size else 0
        return Access(base.root, base.offset + offset, seen.strides)

    # ---- writing it all down ----------------------------------------------------------------------------------------

    def _write(self) -> Callable[..., Any]:
        """Write the function that runs the steps."""
        self.namespace: dict[str, Any] = {
            "empty": np.empty,
            "contiguous": np.ascontiguousarray,
            "settled": _settled,
        }
        self.place: dict[Node, str] = {}
        lines: list[str] = []
        for node in self.used:
            if isinstance(node.operation, Input):
                self.place[node] = f"x{node.operation.position}"
            elif isinstance(node.operation, Constant):
                name = f"constant{node.number}"
                self.place[node] = name
                array = node.array
                if not array.flags.c_contiguous:
                    array = np.ascontiguousarray(array)
                self.namespace[name] = array
            elif isinstance(node.operation, Literal):
                self.place[node] = f"constant{node.number}"
                self.namespace[self.place[node]] = np.array(literal_value(node), node.dtype)
        # what a result is only a reshaping of is made in the result's shape at once
        self.returned: dict[Node, tuple[int, ...]] = {}
        for node in self.outputs:
            root = _reshaped(node)
            if root in self.stored:
                self.returned.setdefault(root, node.shape)
        last: dict[Node, int] = {}
        for number, step in enumerate(self.steps):
            for root in self._read_by(step):
                last[root] = number
        for node in self.outputs:
            last[_root(node)] = len(self.steps)
        buffers: list[int] = []  # sizes in bytes
        free: list[int] = []
        held: dict[Node, int] = {}
        views: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]] = {}
        for number, step in enumerate(self.steps):
            made = [n for n in step.nodes if n in self.stored] if isinstance(step, Group) else [step]
            for node in made:
                name = f"v{node.number}"
                self.place[node] = name
                if isinstance(node.operation, Call) and not node.operation.into:
                    continue
                if node in self.returned:
                    fresh = f"empty({self.returned[node]}, dtype_{node.dtype.name})"
                    given = self._donation(node, step, number)
                    if given is not None:
                        fresh = f"{given} if {given}.flags.writeable else {fresh}"
                    lines.append(f"    {name} = {fresh}")
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
        results: list[str] = []
        for node in self.outputs:
            results.append(self._result(node))
        names = list(views)
        inputs = ", ".join(f"x{i}" for i in range(len(self.program.inputs)))
        head = [f"def run({inputs}):"]
        if names:
            head += [
                "    try:",
                "        workspace = spare.pop()",
                "    except IndexError:",
                "        workspace = make()",
                f"    {', '.join(names)}, = workspace",
            ]
            lines.append("    spare.append(workspace)")
        text = "\n".join([*head, *lines, f"    return ({''.join(f'{result}, ' for result in results)})"]) + "\n"
        self.text, self.workspace_bytes = text, sum(buffers)

        def make() -> list[Any]:
            memory = [np.empty(max(size, 1), np.uint8) for size in buffers]
            return [
                memory[index][: math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
                for index, shape, dtype in views.values()
            ]

        self.namespace |= {"spare": [], "make": make}
        exec(compile(text, "<nbgrad jit>", "exec"), self.namespace)
        run: Callable[..., Any] = self.namespace["run"]
        return run

    def _donation(self, node: Node, group: Group, number: int) -> str | None:
        """Find a donated input in whose place a result may be written, element for element as the input is read."""
        for x in self.program.inputs:
            assert isinstance(x.operation, Input)
            place = f"x{x.operation.position}"
            if x.operation.position not in self.donated or place in self.taken:
                continue
            if x.shape != node.shape or x.shape != self.returned[node] or x.dtype != node.dtype:
                continue
            if x.shape != group.space or any(_root(output) is x for output in self.outputs):
                continue
            readers = [(i, step) for i, step in enumerate(self.steps) if x in self._read_by(step)]
            if any(i > number for i, _ in readers):
                continue
            if any(step is group for _, step in readers):
                # read once, and as it lies: another stage would come back to what has been written over
                uses = [y for n in group.nodes for y in n.inputs if _root(y) is x]
                rows = any(isinstance(n.operation, Fold) and self._over(group, n) == "row" for n in group.nodes)
                if rows or any(_is_view(y) for y in uses):
                    continue
            self.taken.add(place)
            return place
        return None

    def _read_by(self, step: Any) -> set[Node]:
        nodes = step.nodes if isinstance(step, Group) else [step]
        roots = set()
        for node in nodes:
            for x in node.inputs:
                roots.add(_root(x))
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

    def _viewed(self, node: Node) -> str:
        """Write an expression for a value as an array."""
        if not _is_view(node):
            name = self.place[node]
            return name if self.returned.get(node, node.shape) == node.shape else f"{name}.reshape({node.shape})"
        view = node.operation
        assert isinstance(view, View)
        base = self._viewed(node.inputs[0])
        self.namespace["apply_view"] = apply_view
        name = f"view{node.number}"
        self.namespace[name] = view
        return f"apply_view({name}, {base})"

    def _call(self, node: Node) -> str:
        operation = node.operation
        assert isinstance(operation, Call)
        arguments = ", ".join(self._viewed(x) for x in node.inputs)
        name = self.place[node]
        self.explained.append(
            {"step": operation.label, "bytes": sum(x.size * x.dtype.itemsize for x in (*node.inputs, node))}
        )
        if operation.into:
            self.markers.append(f"{operation.label}(")
            self.namespace[operation.label] = operation.function
            return f"    {operation.label}({arguments}, {name})"
        self.namespace[f"call{node.number}"] = operation.function
        self.markers.append(f"{name} = settled(call")
        self.namespace[f"node{node.number}"] = node
        return f"    {name} = settled(call{node.number}({arguments}), node{node.number}, {arguments})"

    def _result(self, node: Node) -> str:
        root = _reshaped(node)
        if self.returned.get(root) == node.shape and root not in self._given:
            self._given.add(root)
            return self.place[root]
        text = self._viewed(node)
        if isinstance(node.operation, Call) and not node.operation.into and node not in self._given:
            self._given.add(node)
            return text
        # the second mention of an output is an array of its own, as is anything seen through a view
        self.namespace["array"] = np.array
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

    def _times(self, arrays: Sequence[Any], rounds: int) -> list[float]:
        """Run the steps with a clock around each."""
        best = [math.inf] * len(self.explained)
        marked = [line for line in self.text.splitlines() if not line.startswith("    spare.append")]
        lines, number = [], 0
        for line in marked:
            is_step = line.strip().startswith(self.markers[number]) if number < len(self.markers) else False
            if is_step:
                lines += ["    start = clock()", line, f"    times[{number}] = clock() - start"]
                number += 1
            else:
                lines.append(line)
        namespace = {**self.namespace, "clock": time.perf_counter, "times": [0.0] * len(best)}
        exec(compile("\n".join(lines), "<nbgrad jit, timed>", "exec"), namespace)
        for _ in range(rounds):
            namespace["run"](*arrays)
            best = [min(b, t) for b, t in zip(best, namespace["times"], strict=True)]
        return best

    # ---- loops ------------------------------------------------------------------------------------------------------

    def _launch(self, group: Group, scratch: Callable[..., str]) -> list[str]:
        """Make the loop of a group; gives the lines that run it and what comes after it."""
        builder = _Builder(self, group)
        nest, operands = builder.build()
        sizes, blocks, cost = builder.sizes()
        partial_lines: list[str] = []
        names = [name for name, _ in operands]
        offsets = [offset for _, offset in operands]
        for operand, _ in nest.kept:
            names.append(scratch((blocks, builder.width), operand.dtype))
            offsets.append(0)
        for operand, fold_node, over in builder.late:
            shape = (blocks,) if over == "all" else (blocks, builder.width)
            names.append(scratch(shape, operand.dtype))
            offsets.append(0)
            if blocks > 1:
                partial_lines += self._combine(names[-1], fold_node)
        for _, fold_node, _ in builder.late:
            names.append(self.place[fold_node])
            offsets.append(0)
        text = fused.source(nest)
        label = "_".join(dict.fromkeys(_label(node) for node in group.nodes))[:40]
        address = codegen.address(f"fused_{label}", text)
        elements = math.prod(group.space)
        shared = blocks > 1 and elements * cost > threads.SHARE_ABOVE
        name = f"kernel{len(self.explained)}"
        self.namespace[name] = launcher(address, sizes, blocks, offsets, shared)
        self.explained.append(
            {
                "step": f"loop over {group.space}",
                "ops": [_label(node) for node in group.nodes],
                "bytes": builder.bytes,
                "source": text,
            }
        )
        self.markers.append(f"{name}(")
        return [f"    {name}({', '.join(names)})", *partial_lines]

    def _combine(self, place: str, node: Node) -> list[str]:
        """Write how the blocks' results become one."""
        fold = node.operation
        assert isinstance(fold, Fold)
        function = {"add": np.add, "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum}[fold.combine.name]
        self.namespace[f"reduce_{fold.combine.name}"] = function.reduce
        target = self.place[node]
        flat = f"{target}.reshape(-1)" if node.shape else target
        return [f"    {flat}[...] = reduce_{fold.combine.name}({place}, 0)"]


def _settled(y: Any, node: Node, *arguments: Any) -> Any:
    """Give what a called function gave, as the trace knew it: of its shape and dtype, and in memory of its own."""
    y = np.asarray(y, order="C")
    if y.shape != node.shape or y.dtype != node.dtype:
        assert isinstance(node.operation, Call)
        raise TypeError(
            f"jit: {node.operation.label} gave shape {y.shape} and dtype {y.dtype} where the trace had {node.shape} "
            f"and {node.dtype}: its result's shape depends on elements, which a traced function's must not"
        )
    if any(np.may_share_memory(y, x) for x in arguments):
        return y.copy()
    return y


def _label(node: Node) -> str:
    operation = node.operation
    if isinstance(operation, Fold):
        return f"fold_{operation.combine.name}"
    assert isinstance(operation, Map)
    if operation.expression is None:
        return "cast"
    function = operation.expression.function
    return function.name if function is not None else "value"


class _Builder:
    """Writes a group as a `fused.Nest`."""

    def __init__(self, plan: Plan, group: Group) -> None:
        self.plan, self.group = plan, group
        space = group.space
        self.inner = len(space) if group.inner is None else group.inner
        self.operands: list[tuple[str, int]] = []
        self.late: list[tuple[fused.Operand, Node, str]] = []
        self.values: dict[Node, tuple[str, str, int]] = {}  # name, level, stage
        self.bytes = 0
        self.copied: set[Node] = set()
        self.steps_of: dict[str, tuple[int, ...]] = {}  # strides over the space, by operand

    def build(self) -> tuple[fused.Nest, list[tuple[str, int]]]:
        group, plan = self.group, self.plan
        inside = set(group.nodes)
        external: dict[Node, None] = {}
        for node in group.nodes:
            for x in node.inputs:
                x = _stretched(x)
                if x not in inside and not isinstance(x.operation, Literal):
                    external[x] = None
        reads: list[tuple[Node, Access, tuple[int, ...]]] = []
        for x in external:
            access = plan.access(x)
            if access is None:
                access = Access(x, 0, _dense(x.shape))
            reads.append((x, access, self._spread(x.shape, access.strides)))
        if self.group.inner is not None:
            reads = [self._even(*read) for read in reads]
        writes = [node for node in group.nodes if node in plan.stored and node not in group.late]
        self._choose_dimensions([strides for _, _, strides in reads])
        nest = fused.Nest(len(self.outer), self.flat)
        loads: dict[Node, fused.Operand] = {}
        for number, (x, access, strides) in enumerate(reads):
            operand = self._operand(f"p{number}", x, strides, access)
            loads[x] = operand
            nest.loads.append(operand)
            place = plan._viewed(x) if access.root is x and _is_view(x) else plan.place[access.root]
            if x in self.copied:
                plan.namespace["broadcast_to"] = np.broadcast_to
                place = f"contiguous(broadcast_to({plan._viewed(x)}, {group.space}))"
            self.operands.append((place, access.offset * x.dtype.itemsize))
            self.bytes += x.size * x.dtype.itemsize
        self._formulas(nest, loads)
        for number, node in enumerate(writes):
            name, level, stage = self.values[node]
            dense = _dense(node.shape)
            operand = self._operand(f"o{number}", node, self._spread(node.shape, dense), None)
            operand = fused.Operand(operand.name, operand.dtype, level, operand.inner if level == ELEMENT else "1")
            nest.stores.append((operand, name, stage))
            self.operands.append((plan.place[node], 0))
            self.bytes += node.size * node.dtype.itemsize
        for number, name in enumerate(fused.keep_what_is_dear(nest)):
            dear = next(s for s in nest.steps if isinstance(s, fused.Assign) and s.name == name)
            nest.kept.append((fused.Operand(f"k{number}", dear.dtype, ELEMENT), name))
        late = [node for node in group.nodes if node in group.late]
        for number, node in enumerate(late):
            step = next(s for s in nest.steps if isinstance(s, fused.Fold) and s.name == self.values[node][0])
            operand = fused.Operand(f"q{number}", step.wide, ROW)
            result = fused.Operand(f"r{number}", node.dtype.name, NEST)
            nest.partials.append((operand, result, step.name))
            self.late.append((operand, node, step.over))
        self.nest = nest
        return nest, self.operands

    def _spread(self, shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
        """Give the steps over the whole space of an array that is broadcast to it."""
        missing = len(self.group.space) - len(shape)
        steps = [0] * missing + [0 if size == 1 else step for size, step in zip(shape, strides, strict=True)]
        return tuple(steps)

    def _even(self, x: Node, access: Access, strides: tuple[int, ...]) -> tuple[Node, Access, tuple[int, ...]]:
        """See to it that the elements of a row are evenly spaced, by a copy in the whole space's shape if need be."""
        space = self.group.space
        axes = [axis for axis in range(len(space) - self.inner, len(space)) if space[axis] != 1]
        if all(strides[a] == strides[b] * space[b] for a, b in itertools.pairwise(axes)):
            return x, access, strides
        self.copied.add(x)
        return x, Access(x, 0, _dense(space)), _dense(space)

    def _choose_dimensions(self, all_strides: list[tuple[int, ...]]) -> None:
        """Join dimensions over which every array steps evenly; the last of what remains are the rows' elements."""
        space = self.group.space
        split = len(space) - self.inner  # dimensions before are rows'

        def joined(begin: int, end: int) -> list[list[int]]:
            parts: list[list[int]] = []
            for axis in range(begin, end):
                if space[axis] == 1:
                    continue
                if parts and all(s[parts[-1][-1]] == s[axis] * space[axis] for s in self._all(all_strides)):
                    parts[-1].append(axis)
                else:
                    parts.append([axis])
            return parts

        outer, inner = joined(0, split), joined(split, len(space))
        self.flat = self.group.inner is None and not outer and len(inner) <= 1
        if len(inner) > 1:
            assert self.group.inner is None
            outer, inner = inner[:-1], inner[-1:]
        self.outer = outer
        self.row = inner[0] if inner else []
        self.width = math.prod(space[axis] for axis in self.row)
        if self.flat:
            self.outer = [[]]  # pieces of the one row

    def _all(self, all_strides: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        stored = [n for n in self.group.nodes if n in self.plan.stored]
        return all_strides + [self._spread(n.shape, _dense(n.shape)) for n in stored if n not in self.group.late]

    def _operand(self, name: str, node: Node, strides: tuple[int, ...], access: Access | None) -> fused.Operand:
        self.steps_of[name] = strides
        if node.size == 1:
            level = NEST
        else:
            level = ELEMENT if any(strides[axis] for axis in self.row) else ROW
        step = strides[self.row[-1]] if self.row else 0
        inner = "0" if step == 0 else "1" if step == 1 else "s"
        return fused.Operand(name, node.dtype.name, level, inner)

    def _formulas(self, nest: fused.Nest, loads: dict[Node, fused.Operand]) -> None:
        group = self.group
        ranks = {NEST: 0, ROW: 1, ELEMENT: 2}
        for x, operand in loads.items():
            self.values[x] = (f"v_{operand.name}", operand.level, 0)
        for node in group.nodes:
            name = f"n{len(nest.steps)}"  # counted anew in each loop: equal loops have equal texts
            inputs = [_stretched(x) for x in node.inputs]
            arguments, level, stage = [], NEST, 0
            for x in inputs:
                if isinstance(x.operation, Literal):
                    dtype = x.dtype.name
                    arguments.append(x.operation.text if dtype == "bool" else f"{dtype}({x.operation.text})")
                    continue
                value, at, when = self.values[x]
                arguments.append(value)
                level = at if ranks[at] > ranks[level] else level
                stage = max(stage, when)
            operation = node.operation
            if isinstance(operation, Fold):
                over = self.plan._over(group, node)
                identity, wide = fused.fold_of(operation.combine, node.dtype.name)
                # a value that is the same all along the row is still folded as often as it is repeated
                level = ELEMENT if node.inputs[0].shape == group.space else ROW
                fold = fused.Fold(
                    name, arguments[0], operation.combine, identity, wide, node.dtype.name, over, level, stage
                )
                nest.steps.append(fold)
                self.values[node] = (name, ROW if over == "row" else NEST, stage + 1 if over == "row" else stage)
                continue
            assert isinstance(operation, Map)
            casts = [False] * len(inputs)
            if operation.expression is not None:
                kinds = formula.inputs_of([operation.expression])
                casts = [
                    kinds.get(i) != formula.TRUTH and x.dtype.name != operation.number for i, x in enumerate(inputs)
                ]
            if node.shape == group.space and node.size > 1 and level != ELEMENT and node in self.plan.stored:
                level = ELEMENT  # the same value all along the row, and all of it is wanted
            nest.steps.append(
                fused.Assign(
                    name,
                    operation.expression,
                    tuple(arguments),
                    tuple(casts),
                    operation.number,
                    node.dtype.name,
                    level,
                    stage,
                )
            )
            self.values[node] = (name, level, stage)

    def sizes(self) -> tuple[list[int], int, int]:
        """Give the values of `fused.size_names`, the number of blocks, and what an element costs."""
        nest, space = self.nest, self.group.space
        cost = fused.cost(nest)
        total = math.prod(space)
        if self.flat:
            length = total
            blocks = max(1, min(_MOST_BLOCKS, length // _BLOCK))
            width = -(-length // blocks)
            width = -(-width // 1024) * 1024 if blocks > 1 else max(width, 1)
            rows = max(1, -(-length // width))
            blocks, rows_in_block = rows, 1
            self.width = width
            values: dict[str, int] = {"length": length}
        else:
            width = self.width
            rows = math.prod(space[axis] for part in self.outer for axis in part)
            blocks = max(1, min(_MOST_BLOCKS, total // _BLOCK, rows))
            rows_in_block = max(1, -(-rows // blocks))
            blocks = max(1, -(-rows // rows_in_block))
            values = {}
        values |= {"blocks": blocks, "rows_in_block": rows_in_block, "rows": rows, "width": width}
        for axis, part in enumerate(self.outer):
            values[f"d{axis}"] = math.prod(space[a] for a in part)
        for name, strides in self.steps_of.items():
            if self.flat:
                values[f"{name}_step0"] = width * (strides[self.row[-1]] if self.row else 0)
            else:
                for axis, part in enumerate(self.outer):
                    values[f"{name}_step{axis}"] = strides[part[-1]]
            values[f"{name}_inner"] = strides[self.row[-1]] if self.row else 0
        for operand in [*(o for o, _, _ in nest.partials), *(o for o, _ in nest.kept)]:
            for axis in range(nest.outer):
                values[f"{operand.name}_step{axis}"] = 0
        return [values[name] for name in fused.size_names(nest)], blocks, cost
