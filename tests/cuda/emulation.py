"""A GPU in the CPU's memory: kernels run from the LLVM IR that numba-cuda hands to NVVM.

`Emulation` takes the place of `nbgrad.kernels.cuda.launch.backend`. Blocks run one after the other. A kernel without
barriers runs a thread at a time, in a compiled loop; in one with barriers, votes or shuffles each thread is a context
of its own (makecontext(3)), and a compiled scheduler switches between them where they wait for each other.

What a GPU leaves open is an error here, or as harmful as can be: odd blocks run their threads in descending order,
shared memory begins as 0xFF bytes, a thread may not leave while others wait, nor read from a lane that does not take
part, and 16-byte accesses need their alignment.

llvmlite must have been imported with LLVMLITE_ENABLE_IR_LAYER_TYPED_POINTERS=0, so that numba-cuda writes IR that
today's LLVM reads; NVVM does not read that one.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import threading
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any, ClassVar, NamedTuple

VARIABLE = "LLVMLITE_ENABLE_IR_LAYER_TYPED_POINTERS"

#: Bytes for a context (glibc's ucontext_t has 968 on x86-64, 4560 on aarch64), and for its stack.
_CONTEXT, _STACK = 8192, 128 * 1024

READY, AT_BARRIER, AT_EXCHANGE, GONE = range(4)

_TYPES = {"bool": "i8", "float16": "i16", "float32": "float", "float64": "double"}
_TYPES |= {f"{sign}int{bits}": f"i{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}

# Registers, and what the scheduler shares with the threads: an entry a thread in each of the arrays.
_GLOBALS = ("tid", "ntid", "ctaid", "nctaid", "misaligned")
_ARRAYS = ("contexts", "states", "masks", "modes", "given", "offsets", "taken")

_STATE = "".join(f"@{name} = global i32 0\n" for name in _GLOBALS) + "".join(
    f"@{name} = global ptr null\n" for name in (*_ARRAYS, "scheduler")
)


def _put(array: str, value: str) -> str:
    return f"""
  %{array}.base = load ptr, ptr @{array}
  %{array}.place = getelementptr i32, ptr %{array}.base, i32 %t
  store i32 {value}, ptr %{array}.place
"""


_REGISTERS = "".join(
    f'define linkonce_odr i32 @"host.read.ptx.sreg.{name}.x"() {{\n  %v = load i32, ptr @{name}\n  ret i32 %v\n}}\n'
    for name in ("tid", "ntid", "ctaid", "nctaid")
) + "".join(
    f'define linkonce_odr i32 @"host.read.ptx.sreg.{name}.{axis}"() {{\n  ret i32 {size}\n}}\n'
    for name, size in (("tid", 0), ("ntid", 1), ("ctaid", 0), ("nctaid", 1))
    for axis in "yz"
)

_WAITING = f"""
declare i32 @swapcontext(ptr, ptr)

define void @wait(i32 %state) noinline {{
  %t = load i32, ptr @tid
  {_put("states", "%state")}
  %base = load ptr, ptr @contexts
  %offset = mul i32 %t, {_CONTEXT}
  %mine = getelementptr i8, ptr %base, i32 %offset
  %scheduler = load ptr, ptr @scheduler
  %ignored = call i32 @swapcontext(ptr %mine, ptr %scheduler)
  ret void
}}

define i32 @exchange(i32 %mask, i32 %mode, i32 %value, i32 %offset) noinline {{
  %t = load i32, ptr @tid
  {_put("masks", "%mask")}{_put("modes", "%mode")}{_put("given", "%value")}{_put("offsets", "%offset")}
  call void @wait(i32 {AT_EXCHANGE})
  %base = load ptr, ptr @taken
  %place = getelementptr i32, ptr %base, i32 %t
  %result = load i32, ptr %place
  ret i32 %result
}}

define linkonce_odr void @"host.barrier0"() {{
  call void @wait(i32 {AT_BARRIER})
  ret void
}}

define linkonce_odr void @"host.bar.warp.sync"(i32 %mask) {{
  %ignored = call i32 @exchange(i32 %mask, i32 4, i32 0, i32 0)
  ret void
}}

define linkonce_odr {{i32, i1}} @"host.shfl.sync.i32"(i32 %mask, i32 %mode, i32 %value, i32 %offset, i32 %clamp) {{
  %got = call i32 @exchange(i32 %mask, i32 %mode, i32 %value, i32 %offset)
  %first = insertvalue {{i32, i1}} undef, i32 %got, 0
  %both = insertvalue {{i32, i1}} %first, i1 1, 1
  ret {{i32, i1}} %both
}}

define linkonce_odr {{i32, i1}} @"host.vote.sync"(i32 %mask, i32 %mode, i1 %holds) {{
  %value = zext i1 %holds to i32
  %ballot = call i32 @exchange(i32 %mask, i32 4, i32 %value, i32 0)
  %every = icmp eq i32 %ballot, %mask
  %any = icmp ne i32 %ballot, 0
  %none = xor i1 %any, 1
  %same = or i1 %every, %none
  %ask.every = icmp eq i32 %mode, 0
  %ask.same = icmp eq i32 %mode, 2
  %second = select i1 %ask.same, i1 %same, i1 %any
  %answer = select i1 %ask.every, i1 %every, i1 %second
  %first = insertvalue {{i32, i1}} undef, i32 %ballot, 0
  %both = insertvalue {{i32, i1}} %first, i1 %answer, 1
  ret {{i32, i1}} %both
}}
"""

_OTHERS = """
define linkonce_odr i32 @"host.read.ptx.sreg.laneid"() {
  %t = load i32, ptr @tid
  %lane = and i32 %t, 31
  ret i32 %lane
}

define linkonce_odr void @check_alignment(ptr %place) {
  %address = ptrtoint ptr %place to i64
  %low = and i64 %address, 15
  %wrong = icmp ne i64 %low, 0
  br i1 %wrong, label %note, label %end
note:
  store i32 1, ptr @misaligned
  br label %end
end:
  ret void
}
""" + "".join(
    f'define linkonce_odr void @"host.membar.{scope}"() {{\n  fence seq_cst\n  ret void\n}}\n'
    for scope in ("cta", "gl", "sys")
)


def _libdevice() -> str:
    """Define NVIDIA's functions by LLVM's intrinsics."""
    names = {"fabs": ("fabs", 1), "rint": ("rint", 1), "sqrt": ("sqrt", 1), "floor": ("floor", 1)}
    names |= {"ceil": ("ceil", 1), "trunc": ("trunc", 1), "copysign": ("copysign", 2), "fma": ("fma", 3)}
    names |= {"fmax": ("maxnum", 2), "fmin": ("minnum", 2)}
    text = []
    for kind, short, suffix in (("float", "f32", "f"), ("double", "f64", "")):
        for name, (intrinsic, arity) in names.items():
            called = f"{kind} @llvm.{intrinsic}.{short}"
            text.append(f"declare {called}({', '.join([kind] * arity)})")
            given = ", ".join(f"{kind} %a{i}" for i in range(arity))
            text.append(f"define linkonce_odr {kind} @__nv_{name}{suffix}({given}) {{")
            text += [f"  %r = call {called}({given})", f"  ret {kind} %r", "}"]
        text.append(f"define linkonce_odr i32 @__nv_isnan{suffix or 'd'}({kind} %a) {{")
        text += [f"  %b = fcmp uno {kind} %a, %a", "  %r = zext i1 %b to i32", "  ret i32 %r", "}"]
    return "\n".join(text) + "\n"


_HOST = _STATE + _REGISTERS + _WAITING + _OTHERS + _libdevice()
_DEFINED = {"swapcontext", "memset", "memcpy", "memmove"}


def _driver(name: str, signature: Sequence[str]) -> str:
    """Write the functions that call a kernel with the arguments in @argument0, @argument1, ...

    `enter` calls it once, for the thread that the registers name; `drive` for all threads of all blocks.
    """
    kinds = ["ptr" if kind.endswith("*") else _TYPES[kind] for kind in signature]
    places = "".join(f"@argument{i} = global {kind} {_zero(kind)}\n" for i, kind in enumerate(kinds))
    loads = "".join(f"  %a{i} = load {kind}, ptr @argument{i}\n" for i, kind in enumerate(kinds))
    call = f'call void @"{name}"({", ".join(f"{kind} %a{i}" for i, kind in enumerate(kinds))})'
    return f"""{places}
declare void @"{name}"({", ".join(kinds)})

define void @enter() {{
{loads}  {call}
  %t = load i32, ptr @tid
  {_put("states", str(GONE))}
  ret void
}}

define void @drive() {{
{loads}  %blocks = load i32, ptr @nctaid
  %threads = load i32, ptr @ntid
  br label %outer
outer:
  %b = phi i32 [0, %0], [%b.next, %outer.end]
  %odd = trunc i32 %b to i1
  store i32 %b, ptr @ctaid
  br label %inner
inner:
  %i = phi i32 [0, %outer], [%i.next, %inner]
  %i.next = add i32 %i, 1
  %reverse = sub i32 %threads, %i.next
  %t = select i1 %odd, i32 %reverse, i32 %i
  store i32 %t, ptr @tid
  {call}
  %more = icmp ult i32 %i.next, %threads
  br i1 %more, label %inner, label %outer.end
outer.end:
  %b.next = add i32 %b, 1
  %rest = icmp ult i32 %b.next, %blocks
  br i1 %rest, label %outer, label %end
end:
  ret void
}}
"""


def _zero(kind: str) -> str:
    return {"ptr": "null", "float": "0.0", "double": "0.0"}.get(kind, "0")


# ---- threads that wait for each other -------------------------------------------------------------------------------

#: What can go wrong while threads wait, by the number that the scheduler gives.
_FAULTS = {
    1: "some threads have left, and others wait at a barrier or for a shuffle",
    2: "threads wait for each other at different places",
    3: "a shuffle reads from a lane that does not take part in it",
    4: "a lane takes part in a shuffle whose mask leaves it out",
}


@once
def _schedule() -> Any:
    """Compile the scheduler."""
    import numpy as np
    from numba import carray, njit, types
    from numba.extending import intrinsic

    @intrinsic
    def at_address(typing_context: Any, address: Any) -> Any:
        result = types.CPointer(types.int64)
        return result(types.int64), lambda context, builder, signature, given: builder.inttoptr(
            given[0], context.get_value_type(result)
        )

    library = ctypes.CDLL(None)
    word = ctypes.c_int64
    swap = ctypes.CFUNCTYPE(ctypes.c_int32, word, word)(("swapcontext", library))
    get = ctypes.CFUNCTYPE(ctypes.c_int32, word)(("getcontext", library))
    make = ctypes.CFUNCTYPE(None, word, word, ctypes.c_int32)(("makecontext", library))
    fill = ctypes.CFUNCTYPE(word, word, ctypes.c_int32, word)(("memset", library))

    @njit
    def resolve(first: Any, last: Any, arrays: Any) -> Any:
        """Let lanes of one warp go on whose partners have all arrived; gives a fault, or -1 if any goes on."""
        states, masks, modes, given, offsets, taken = arrays
        arrived = np.uint32(0)
        there = np.uint32(0)
        for t in range(first, last):
            if states[t] == AT_EXCHANGE:
                arrived |= np.uint32(1) << np.uint32(t - first)
            if states[t] != GONE:
                there |= np.uint32(1) << np.uint32(t - first)
        released = np.uint32(0)
        for t in range(first, last):
            mask = np.uint32(masks[t])
            if states[t] == AT_EXCHANGE and mask & there & ~arrived == 0:
                lane = t - first
                if not mask >> np.uint32(lane) & np.uint32(1):
                    return 4
                released |= np.uint32(1) << np.uint32(lane)
                offset = offsets[t]
                mode = modes[t]
                if mode == 4:
                    ballot = np.uint32(0)
                    for other in range(first, last):
                        if mask >> np.uint32(other - first) & np.uint32(1) and given[other] != 0:
                            ballot |= np.uint32(1) << np.uint32(other - first)
                    taken[t] = np.int32(ballot)
                    continue
                if mode == 0:
                    source = offset & 31
                elif mode == 1:
                    source = lane - offset
                elif mode == 2:
                    source = lane + offset
                else:
                    source = lane ^ offset
                if source < 0 or source > 31:
                    source = lane
                if not (mask & arrived) >> np.uint32(source) & np.uint32(1):
                    return 3
                taken[t] = given[first + source]
        if released:
            for t in range(first, last):
                if released >> np.uint32(t - first) & np.uint32(1):
                    states[t] = READY
            return -1
        return 0

    @njit
    def schedule(
        enter: Any, registers: Any, scheduler: Any, contexts: Any, stacks: Any, shared: Any, arrays: Any
    ) -> Any:
        """Run every block of a kernel; gives the number of a fault, or 0."""
        states = arrays[0]
        tid, ctaid = carray(at_address(registers[0]), 1), carray(at_address(registers[2]), 1)
        threads, blocks = states.size, registers[4]
        for block in range(blocks):
            ctaid.view(np.int32)[0] = block
            for i in range(shared.shape[0]):
                fill(shared[i, 0], 255, shared[i, 1])
            for t in range(threads):
                context = contexts + t * _CONTEXT
                get(context)
                head = carray(at_address(context), 5)
                head[1] = scheduler  # uc_link, and then uc_stack
                head[2] = stacks + t * _STACK
                head[4] = _STACK
                make(context, enter, 0)
                states[t] = READY
            live = threads
            while live > 0:
                for i in range(threads):
                    t = threads - 1 - i if block & 1 else i
                    if states[t] == READY:
                        tid.view(np.int32)[0] = t
                        swap(scheduler, contexts + t * _CONTEXT)
                live = 0
                waiting = 0
                for t in range(threads):
                    live += states[t] != GONE
                    waiting += states[t] == AT_BARRIER
                if live == 0:
                    break
                if waiting == threads:
                    states[:] = READY
                    continue
                moved = False
                for first in range(0, threads, 32):
                    fault = resolve(first, min(first + 32, threads), arrays)
                    if fault > 0:
                        return fault
                    moved |= fault < 0
                if not moved:
                    return 1 if live < threads else 2
        return 0

    return schedule


# ---- the backend ----------------------------------------------------------------------------------------------------


class Launch(NamedTuple):
    """One launch, as it was asked for."""

    name: str
    blocks: int
    threads: int
    arguments: tuple[Any, ...]


class Compiled:
    """A compiled kernel on host memory."""

    def __init__(self, source: str, signature: tuple[str, ...], capability: tuple[int, int]) -> None:
        import llvmlite.binding as llvm
        import numpy as np

        from nbgrad.kernels.cuda.cubin import compile_library
        from nbgrad.kernels.cuda.support import NAMESPACE

        names = dict(NAMESPACE)
        exec(compile(source, "<nbgrad cuda kernel>", "exec"), names)
        library = compile_library(names["kernel"], signature, capability)
        texts = [_for_host(text) for text in library.llvm_strs]
        self.waits = any(f'call {result} @"host.{name}' in text for text in texts for result, name in _WAITS)
        self.signature = signature
        module = llvm.parse_assembly(_HOST + _driver(library._entry_name, signature))
        module.triple = llvm.get_process_triple()
        for text in texts:
            part = llvm.parse_assembly(text)
            part.triple = module.triple
            module.link_in(part)
        module.verify()
        for function in module.functions:
            if function.is_declaration and function.name not in _DEFINED and not function.name.startswith("llvm."):
                raise NotImplementedError(f"the emulation has no {function.name.replace('host.', 'llvm.nvvm.')}")
        machine = _machine()
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
        builder.getModulePassManager().run(module, builder)
        shared = re.findall(r'@"?([\w.$]+)"? = [^\n]*addrspace\(3\) global \[(\d+) x (\w+)\]', "\n".join(texts))
        self._engine = engine = llvm.create_mcjit_compiler(module, machine)
        engine.finalize_object()
        sizes = {"i8": 1, "i16": 2, "i32": 4, "i64": 8, "float": 4, "double": 8}
        self.shared = np.array(
            [(engine.get_global_value_address(name), int(count) * sizes[kind]) for name, count, kind in shared],
            np.int64,
        ).reshape(-1, 2)
        self.places = [engine.get_global_value_address(f"argument{i}") for i in range(len(signature))]
        self.registers = [engine.get_global_value_address(name) for name in _GLOBALS]
        self.pointers = {name: engine.get_global_value_address(name) for name in (*_ARRAYS, "scheduler")}
        self.enter = engine.get_function_address("enter")
        self.drive = ctypes.CFUNCTYPE(None)(engine.get_function_address("drive"))

    def run(self, blocks: int, threads: int, arguments: Sequence[Any]) -> str | None:
        """Run the kernel; gives what went wrong, if anything did."""
        for place, argument in zip(self.places, arguments, strict=True):
            if type(argument) is int:
                ctypes.c_int64.from_address(place).value = argument
            else:
                ctypes.memmove(place, argument.tobytes(), argument.itemsize)
        tid, ntid, ctaid, nctaid, misaligned = map(ctypes.c_int32.from_address, self.registers)
        tid.value, ntid.value, ctaid.value, nctaid.value, misaligned.value = 0, threads, 0, blocks, 0
        fault = None
        if self.waits:
            fault = _FAULTS.get(self._run_together(blocks, threads))
        else:
            self.drive()
        return "a 16-byte access at an address that is no multiple of 16" if misaligned.value else fault

    def _run_together(self, blocks: int, threads: int) -> int:
        import numpy as np

        room = _memory(threads)
        arrays = np.zeros((len(_ARRAYS) - 1, threads), np.int32)
        addresses = [room.contexts, *(row.ctypes.data for row in arrays), room.scheduler]
        for place, address in zip(self.pointers.values(), addresses, strict=True):
            ctypes.c_int64.from_address(place).value = address
        registers = np.array([*self.registers[:4], blocks], np.int64)
        schedule = _schedule()
        return int(
            schedule(self.enter, registers, room.scheduler, room.contexts, room.stacks, self.shared, tuple(arrays))
        )


#: Calls that make a thread wait for others: what they give, and how their names begin.
_WAITS = (("void", "barrier0"), ("void", "bar.warp.sync"), ("{i32, i1}", "shfl"), ("{i32, i1}", "vote"))


def _for_host(text: str) -> str:
    """Make IR for NVVM IR for this machine, with calls of the functions in `_HOST`."""
    text = re.sub(r"^target (triple|datalayout) = .*$|^!nvvm.*$", "", text, flags=re.M)
    text = text.replace("llvm.nvvm.", "host.")
    # the check is before the access, which then has no alignment to rely on
    access = re.compile(
        r"^( *)((?:\S+ = load <[^>]+>|store <[^>]+> .*?), ptr(?: addrspace\((\d)\))? (\S+), align )16$", re.M
    )

    def checked(found: re.Match[str]) -> str:
        indent, start, space, place = found.groups()
        number = found.start()
        cast = f"{indent}%checked{number} = addrspacecast ptr addrspace({space}) {place} to ptr\n" if space else ""
        given = f"%checked{number}" if space else place
        return f"{cast}{indent}call void @check_alignment(ptr {given})\n{indent}{start}1"

    replaced = access.sub(checked, text)
    if "@check_alignment" in replaced:
        replaced += "\ndeclare void @check_alignment(ptr)\n"
    return replaced


@once
def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2
    )


class _Memory(NamedTuple):
    contexts: int
    stacks: int
    scheduler: int
    keep: Any


@once
def _memory(threads: int) -> _Memory:
    """Give room for the contexts and stacks of a block's threads."""
    import numpy as np

    room = np.empty((threads + 1) * (_CONTEXT + _STACK) + 64, np.uint8)
    start = -(-room.ctypes.data // 64) * 64
    stacks = start + (threads + 1) * _CONTEXT
    return _Memory(start, stacks, start + threads * _CONTEXT, room)


class Emulation:
    """Runs kernels on host memory, and keeps a list of what was launched."""

    _made: ClassVar[dict[Any, Any]] = {}
    _lock = threading.RLock()  # the registers are one kernel's, and launches on a stream follow each other

    def __init__(
        self,
        capability: tuple[int, int] = (9, 0),
        enqueue: Callable[[Callable[[], None]], None] = lambda action: action(),
        make: Callable[[str, tuple[str, ...], tuple[int, int]], Any] | None = None,
    ) -> None:
        if os.environ.get(VARIABLE) != "0":
            raise RuntimeError(f"the emulation needs {VARIABLE}=0 in the environment, before llvmlite is imported")
        if platform.system() != "Linux":
            raise RuntimeError(f"the emulation needs glibc's contexts, and this is {platform.system()}")
        self.launches: list[Launch] = []
        self._capability, self._enqueue = capability, enqueue
        #: Makes what runs a kernel's text; tests put an interpreter in its place.
        self.make: Callable[[str, tuple[str, ...], tuple[int, int]], Any] = make or Compiled

    def device(self) -> int:
        """Give the number of the only device."""
        return 0

    def capability(self, device: int) -> tuple[int, int]:
        """Give the compute capability that kernels are compiled for."""
        return self._capability

    def load(self, name: str, source: str, signature: tuple[str, ...]) -> Callable[..., None]:
        """Give the launcher of a kernel, which is made for the host when it is first launched."""

        def made() -> Any:
            key = self.make, source, signature, self._capability
            with self._lock:
                if key not in self._made:
                    self._made[key] = self.make(source, signature, self._capability)
                return self._made[key]

        def run(blocks: int, threads: int, *arguments: Any) -> None:
            _check(name, signature, blocks, threads, arguments)
            kernel = made()
            self._enqueue(lambda: happen(kernel, blocks, threads, arguments))

        def happen(kernel: Any, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
            with self._lock:
                self.launches.append(Launch(name, blocks, threads, arguments))
                fault = kernel.run(blocks, threads, arguments)
            if fault is not None:
                raise RuntimeError(f"kernel {name}: {fault}")

        return run


def _check(name: str, signature: Sequence[str], blocks: int, threads: int, arguments: Sequence[Any]) -> None:
    """Refuse what CUDA or cuda.core would refuse, or would read as something else."""
    if type(blocks) is not int or not 1 <= blocks < 2**31 or type(threads) is not int or not 1 <= threads <= 1024:
        raise ValueError(f"kernel {name}: {blocks!r} blocks of {threads!r} threads are no launch")
    if len(arguments) != len(signature):
        raise TypeError(f"kernel {name}: {len(arguments)} arguments for {len(signature)} parameters")
    for position, (kind, argument) in enumerate(zip(signature, arguments, strict=True)):
        if kind.endswith("*") or kind == "int64":
            fits = type(argument) is int and -(2**63) <= argument < 2**63
        else:
            fits = getattr(argument, "dtype", None) == ("uint8" if kind == "bool" else kind) and argument.ndim == 0
        if not fits:
            raise TypeError(f"kernel {name}: parameter {position} is {kind}, and got {type(argument).__name__}")
