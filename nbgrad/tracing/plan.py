"""From a program to a function: its steps in order, each a few lines of Python that launch loops or call BLAS."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..kernels import dispatch
from ..kernels.loop_nest import Nest
from ..kernels.target import ARGUMENT, FIXED, RESULT, Compiler, Loops
from .chains import Chain, in_chains
from .grouping import Group, Grouping
from .loops import Loop, label_of
from .memory import Memory
from .passes import optimised
from .picking import Picked, picked_rows
from .products import Laid, laid_out
from .program import Call, Node, Program, reshaped, root_of


class Step(NamedTuple):
    """What the function does at once: its lines, and what is to be told of them."""

    label: str
    lines: list[str]
    #: What is read and written.
    bytes: int
    #: The operations that a loop computes, and its text.
    operations: list[str]
    source: str | None


class _Built(NamedTuple):
    """A group's loop, as `Compiler.loops` takes it, the names of its operands, and what `Step` tells of it."""

    label: str
    nest: Nest
    sizes: list[int]
    blocks: int
    names: list[str]
    offsets: list[int]
    elements: int
    bytes: int
    operations: list[str]


class Plan:
    """The steps of a program, for the shapes it was traced with.

    `donated` are arguments that results may be written over, `homes` those that become a result, with its number.
    """

    def __init__(
        self,
        program: Program,
        outputs: Sequence[Node],
        compiler: Compiler,
        donated: Sequence[int] = (),
        homes: Mapping[int, int] = {},
    ) -> None:
        self.program = program = optimised(program.wanting(outputs))
        self.outputs, self.compiler = program.outputs, compiler
        grouping = Grouping(program, compiler.most_sources, compiler.most_steps)
        chains: dict[int, Chain] = {}
        if not donated and not homes:  # what is written over an argument would have to wait for all that reads it
            grouping.steps, chains = in_chains(grouping.steps, compiler)
        self.memory = Memory(program, grouping, compiler, donated, homes)
        self.namespace: dict[str, Any] = {
            "empty": compiler.empty,
            "contiguous": compiler.contiguous_array,
            "broadcast_to": compiler.broadcast_to,
            "array": compiler.copy,
            "settled": self._settled,
            "is_free": self._is_free,
            "all_apart": _all_apart,
        }
        #: What a loop's launch is in compiled code, if it is, and the names of its operands.
        self._launches: list[tuple[Any, list[str]]] = []
        begun: list[Callable[[], Step]] = []
        number = 0
        while number < len(grouping.steps):
            chain, step = chains.get(number), grouping.steps[number]
            numbers = range(number, number + (1 if chain is None else 3))
            for number in numbers:
                self.memory.before(grouping.steps[number], number)
            if chain is not None:
                begun.append(self._chain(chain, grouping))
            else:
                begun.append(self._loop(step, grouping) if isinstance(step, Group) else self._call(step))
            for number in numbers:
                self.memory.after(number)
            number += 1
        self.steps: list[Step] = []
        for finish in begun:  # all loops are being compiled by now, several at a time
            self.steps.append(finish())
        self._only_loops = not program.checks and all(step.source is not None for step in self.steps)
        self._given: set[Node] = set()
        self.results = [self._result(node) for node in self.outputs]
        self._looks = []
        for number, ((_, node), begin) in enumerate(program.checks.items()):
            self.namespace[f"check{number}"] = begin
            self._looks.append(f"look{number} = check{number}({self.memory.viewed(node)})")
        self.namespace |= {
            **self.memory.namespace,
            "make": self.memory.maker(compiler.empty),
            "stream": compiler.stream,
            "Workspace": compiler.workspace,
        }
        self.text = self.written([line for step in self.steps for line in step.lines])
        self.run = self.compiled(self.text)

    # ---- the steps --------------------------------------------------------------------------------------------------

    def _loop(self, group: Group, grouping: Grouping) -> Callable[[], Step]:
        """Begin to make the loop of a group; gives what waits for it."""
        loop = self._built(group, grouping)
        self.compiler.begin(loop.label, loop.nest, loop.blocks, loop.elements)

        def finish() -> Step:
            loops = self.compiler.loops(loop.label, loop.nest, loop.sizes, loop.blocks, loop.offsets, loop.elements)
            lines = self._launched(loops, loop.names)
            return Step(f"loop over {group.space}", lines, loop.bytes, loop.operations, self.compiler.source(loop.nest))

        return finish

    def _built(self, group: Group, grouping: Grouping, width: int = 0) -> _Built:
        """Make the nest of a group, and find its operands; `width` is what a block of a flat one has, if given."""
        builder = Loop(group, grouping, self.compiler, self.memory)
        nest, operands = builder.build()
        sizes, blocks = builder.sizes(width)
        names = [name for name, _ in operands]
        offsets = [offset for _, offset in operands]
        for operand, _ in nest.kept:
            names.append(self.memory.scratch((self.compiler.kept(nest, sizes, blocks),), operand.dtype))
            offsets.append(0)
        for operand, fold_node, over in builder.late:
            across = {"all": 1, "column": builder.width, "place": fold_node.size}
            shape = (blocks, across[over])
            names.append(self.memory.scratch(shape, operand.dtype))
            offsets.append(0)
        for _, fold_node, _ in builder.late:
            place = grouping.place_of_late(fold_node)
            names.append(self.memory.of(place.root))
            offsets.append(place.offset * fold_node.dtype.itemsize)
        operations = [label_of(node) for node in group.nodes]
        label = "_".join(dict.fromkeys(operations))[:40]
        elements = math.prod(group.space)
        return _Built(label, nest, sizes, blocks, names, offsets, elements, builder.bytes, operations)

    def _chain(self, chain: Chain, grouping: Grouping) -> Callable[[], Step]:
        """Begin to make the loop that goes through the lines of a matrix once for two products and what is between."""
        dtype, laid = chain.first.dtype, chain.places
        loop = self._built(chain.group, grouping, chain.lines)
        names = [[self.memory.of(place.root) for place in each.places] for each in laid]
        offsets = [[place.offset * dtype.itemsize for place in each.places] for each in laid]
        wait, room = self.compiler.chained(
            dtype.name,
            [(each.sizes, each.steps, begins) for each, begins in zip(laid, offsets, strict=True)],
            (loop.label, loop.nest, loop.sizes, loop.blocks, loop.offsets, loop.elements),
            chain.lines,
        )
        if room:
            names[1].append(self.memory.scratch((room,), dtype))
        read = {x: x.size * x.dtype.itemsize for node in (chain.first, chain.second) for x in (*node.inputs, node)}
        multiplied = [f"({m}, {k}) @ ({k}, {n})" for _, m, k, n in (each.sizes for each in laid)]
        operations = [multiplied[0], *loop.operations, multiplied[1]]

        def finish() -> Step:
            together, of_loop, of_second = wait()
            lines = self._launched(together, [*names[0], *loop.names, *names[1]])
            lines += self._launched(of_loop, loop.names) + self._launched(of_second, names[1])
            moved = loop.bytes + sum(read.values())
            label = f"loop over {chain.group.space}, in lines"
            return Step(label, lines, moved, operations, self.compiler.source(loop.nest))

        return finish

    def _launched(self, loops: Loops, names: list[str]) -> list[str]:
        """Write the lines that launch the loops of the next step on the arrays of some names."""
        lines = []
        for loop, launch in loops:
            name = f"kernel{len(self._launches)}"
            self.namespace[name] = loop
            self._launches.append((launch, names))
            lines.append(f"{name}({', '.join(names)})")
        return lines

    def _call(self, node: Node) -> Callable[[], Step]:
        operation = node.operation
        assert isinstance(operation, Call)
        multiplies = operation.identity == "matmul"
        laid = laid_out(node) if multiplies else None
        if laid is not None:
            offsets = [place.offset * node.dtype.itemsize for place in laid.places]
            loop = self.compiler.product_loop(node.dtype.name, laid.sizes, laid.steps, offsets)
            if loop is not None:
                return self._product(node, laid, *loop)
        picked = picked_rows(node)
        if picked is not None:
            offsets = [*(place.offset * place.root.dtype.itemsize for place in picked.places), 0]
            found = self.compiler.rows(operation.identity, node.dtype.name, picked.sizes, picked.steps, offsets)
            if found is not None:
                return self._rows(node, picked, *found)
        arguments = ", ".join(self.memory.viewed(x) for x in node.inputs)
        name = self.memory.of(node)
        if operation.into:
            called = operation.label if multiplies else f"call{node.number}"
            self.namespace[called] = self.compiler.product(operation.function) if multiplies else operation.function
            if self.memory.returned.get(node, node.shape) != node.shape:
                name = f"{name}.reshape({node.shape})"
            line = f"{called}({arguments}, {name})"
        else:
            self.namespace[f"call{node.number}"] = operation.function
            self.namespace[f"node{node.number}"] = node
            line = f"{name} = settled(call{node.number}({arguments}), node{node.number}, {arguments})"
        moved = sum(x.size * x.dtype.itemsize for x in (*node.inputs, node))
        return lambda: Step(operation.label, [line], moved, [], None)

    def _product(self, node: Node, laid: Laid, wait: Callable[[], Loops], text: str, room: int) -> Callable[[], Step]:
        """Make the loop of a product that is no call of BLAS."""
        assert isinstance(node.operation, Call)
        label, names = node.operation.label, [self.memory.of(place.root) for place in laid.places]
        if room:
            names.append(self.memory.scratch((room,), node.dtype))
        moved = sum(x.size * x.dtype.itemsize for x in (*node.inputs, node))
        _, m, k, n = laid.sizes
        return lambda: Step(label, self._launched(wait(), names), moved, [f"({m}, {k}) @ ({k}, {n})"], text)

    def _rows(self, node: Node, picked: Picked, loops: Loops, text: str) -> Callable[[], Step]:
        """Make the loop that picks rows or adds them up; where it fails, the call tells what is wrong."""
        operation = node.operation
        assert isinstance(operation, Call)
        arguments = ", ".join(self.memory.viewed(x) for x in node.inputs)
        result, failed = self.memory.of(node), self.memory.scratch((1,), np.int64)
        names = [*(self.memory.of(place.root) for place in picked.places), failed]
        called = f"call{node.number}"
        self.namespace[called] = operation.function
        if self.memory.returned.get(node, node.shape) != node.shape:
            result = f"{result}.reshape({node.shape})"
        again = f"if {failed}[0]: {called}({arguments}, {result})"
        moved = sum(x.size * x.dtype.itemsize for x in (*node.inputs, node))
        count, number, _, width = picked.sizes
        done = f"{number} of ({count}, {width})" if operation.label == "gather" else f"into ({count}, {width})"

        def finish() -> Step:
            lines = [f"{failed}[0] = 0", *self._launched(loops, names), again]
            return Step(operation.label, lines, moved, [done], text)

        return finish

    def _result(self, node: Node) -> str:
        memory, root = self.memory, reshaped(node)
        if memory.returned.get(root) == node.shape and root not in self._given:
            self._given.add(root)
            return memory.of(root)
        text = memory.viewed(node)
        if isinstance(node.operation, Call) and not node.operation.into and node not in self._given:
            self._given.add(node)
            return text
        # the second mention of an output is an array of its own, as is anything seen through a view
        return f"array({text})"

    # ---- the function -----------------------------------------------------------------------------------------------

    def written(self, lines: Sequence[str], keeps: bool = True) -> str:
        """Write the function `run` with the lines of the steps.

        Where there are streams, the steps are a function of their own, which can be captured. `keeps`: the workspace is
        kept for the next run.
        """
        memory = self.memory
        inputs = [f"x{i}" for i in range(len(self.program.inputs))]
        head = [f"def run({', '.join(inputs)}):"]
        if memory.taken:
            head.append(f"    apart = all_apart({', '.join(memory.given())})")
        begins = [f"    {look}" for look in self._looks]
        ends = [f"    look{number}()" for number in range(len(self._looks))]
        if memory.taken:  # nothing is lost where a look finds a fault
            begins, ends = [*begins, *ends], []
        head += begins
        head += [f"    {name} = {text}" for name, text in memory.fresh.items()]
        lines = [f"    {line}" for line in lines]
        names = f"    {_tuple(memory.workspace)} = workspace"
        # made before another thread may have the workspace
        results = f"    results = {_tuple(self.results)}"
        back = [*(["    spare.append(workspace)"] if keeps else []), *ends, "    return results"]
        taken = ["    try:", "        workspace = spare.pop()", "    except IndexError:"]
        if not self.compiler.streams:
            if not memory.workspace:
                return _text([*head, *lines, results, *ends, "    return results"])
            return _text([*head, *taken, "        workspace = make()", names, *lines, results, *back])
        called = [memory.of(root_of(n)) for n in self.outputs if isinstance(root_of(n).operation, Call)]
        called = [name for name in dict.fromkeys(called) if name not in memory.fresh and name not in memory.workspace]
        given = [*inputs, *memory.fresh]
        donated = [inputs.index(name) for name in memory.taken]
        run = [
            "    spare = kept[stream()]",  # memory belongs to the stream on which the call that had it may still run
            *taken,
            f"        workspace = Workspace(steps, make(), {len(inputs)}, {donated})",
            f"    {_tuple(called) + ' = ' if called else ''}workspace.run({_tuple(given)})",
        ]
        if any(memory.of(root_of(node)) in memory.workspace for node in self.outputs):
            run.append(f"{names}.arrays")
        steps = [f"def steps({', '.join([*given, *memory.workspace])}):", *lines, f"    return {_tuple(called)}"]
        return _text([*steps, "", "", *head, *run, results, *back])

    def compiled(self, text: str, **names: Any) -> Callable[..., Any]:
        """Compile `run`, with a workspace of its own."""
        namespace = {**self.namespace, "spare": [], "kept": defaultdict(list), **names}
        exec(compile(text, "<nbgrad jit>", "exec"), namespace)
        run: Callable[..., Any] = namespace["run"]
        return run

    def replay(self) -> Callable[..., Any] | None:
        """Give `run` without Python between its steps, which gives None for arrays unlike the arguments.

        None if there is something besides loops on new arrays.
        """
        memory = self.memory
        returned = [memory.place.get(reshaped(node)) for node in self.outputs]
        if memory.taken or returned != self.results or not self._only_loops:
            return None
        operands: dict[str, tuple[int, Any]] = {f"x{i}": (ARGUMENT, i) for i in range(len(self.program.inputs))}
        operands |= {
            name: (FIXED, array) for name, array in zip(memory.workspace, self.namespace["make"](), strict=True)
        }
        operands |= {name: (RESULT, i) for i, name in enumerate(self.results)}
        operands |= {name: (FIXED, array) for name, array in memory.namespace.items() if name.startswith("constant")}
        if any(name not in operands for _, names in self._launches for name in names):
            return None  # a view that has to be made, or a copy
        launches = [
            (launch, [operands[name] for name in names]) for launch, names in self._launches if launch is not None
        ]
        if len(launches) < len(self._launches):
            return None
        arguments = [(node.dtype, node.shape) for node in self.program.inputs]
        return self.compiler.replayer(arguments, [(node.dtype, node.shape) for node in self.outputs], launches)

    # ---- what the written function calls ----------------------------------------------------------------------------

    def _is_free(self, x: Any, *others: Any) -> bool:
        """Tell whether a donated array may be written over: nobody forbids it, and no other one lies in its memory."""
        return dispatch.is_writeable(x) and not any(self.compiler.shares_memory(x, other) for other in others)

    def _settled(self, y: Any, node: Node, *arguments: Any) -> Any:
        """Give what a called function gave, as the trace knew it: of its shape and dtype, in memory of its own."""
        y = self.compiler.settled(y)
        if y.shape != node.shape or y.dtype != node.dtype:
            assert isinstance(node.operation, Call)
            raise TypeError(
                f"jit: {node.operation.label} gave shape {y.shape} and dtype {y.dtype} where the trace had "
                f"{node.shape} and {node.dtype}: a traced function must not give shapes that depend on elements"
            )
        return y.copy() if any(self.compiler.shares_memory(y, x) for x in arguments) else y


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _tuple(names: Sequence[str]) -> str:
    return f"({''.join(f'{name}, ' for name in names)})"


def _all_apart(*arrays: Any) -> bool:
    """Tell quickly whether arrays are different ones that own their memory, so that no two have any in common."""
    return len(set(map(id, arrays))) == len(arrays) and all([x.base is None for x in arrays])
