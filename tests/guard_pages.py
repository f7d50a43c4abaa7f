"""Memory for NumPy's arrays that ends where the page behind it, or before it, must not be touched.

`install` makes NumPy allocate every array of this thread so. A loop that reads or writes one element too far, or memory
that was freed, then ends the process by a signal. The allocator is compiled, since NumPy frees arrays in moments in
which no Python may run. For POSIX.
"""

import ctypes
import mmap

from numpy._core import _multiarray_umath

from nbgrad.kernels.cpu import codegen
from nbgrad.kernels.cpu.ufunc import keep_forever

_PAGE = mmap.PAGESIZE
_C = ctypes.CDLL(None)
_FUNCTIONS = ("mmap", "mprotect", "munmap", "memmove")
_SET_HANDLER = 304  # its place in NumPy's table of functions, which is part of the ABI

# `first` is the address of words: how many arrays there were, and the addresses of `_FUNCTIONS`. An allocation is a
# page with its size, a guard, its pages, a guard; the array is, in turns, at the end and at the beginning of its pages.
_ALLOCATE = f"""
    size = max(size, 1)
    length = -(-size // {_PAGE}) * {_PAGE}
    flags = {mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}
    base = invoke_new_array(word_at(first + 8), (0, length + {3 * _PAGE}, 0, flags, -1, 0, 0, 0))
    if base == -1:
        return 0
    place = base + {2 * _PAGE}
    invoke_4(word_at(first + 16), (base, {_PAGE}, {mmap.PROT_READ | mmap.PROT_WRITE}, 0))
    if invoke_4(word_at(first + 16), (place, length, {mmap.PROT_READ | mmap.PROT_WRITE}, 0)) != 0:
        invoke_2(word_at(first + 24), (base, length + {3 * _PAGE}))  # there is not that much memory
        return 0
    words_at(base)[0] = size
    words_at(first)[0] += 1
    if words_at(first)[0] % 3 != 0:
        place += length - size
"""
_RELEASE = f"""
    if second != 0:
        begin = second // {_PAGE} * {_PAGE} - {2 * _PAGE}
        invoke_2(word_at(first + 24), (begin, -(-word_at(begin) // {_PAGE}) * {_PAGE} + {3 * _PAGE}))
"""
_SOURCES = {
    "malloc": f"def call(first, second, third):\n    size = second\n{_ALLOCATE}\n    return place\n",
    "calloc": f"def call(first, second, third):\n    size = second * third\n{_ALLOCATE}\n    return place\n",
    "realloc": f"""
def call(first, second, third):
    size = third
{_ALLOCATE}
    if second != 0:
        before = word_at(second // {_PAGE} * {_PAGE} - {2 * _PAGE})
        invoke_4(word_at(first + 32), (place, second, min(size, before), 0))
{_RELEASE}
    return place
""",
    "free": f"def call(first, second, third):\n{_RELEASE}\n    return 0\n",
}


class Handler(ctypes.Structure):
    """PyDataMem_Handler (numpy/ndarraytypes.h)."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in _SOURCES),
    )


def install():
    """Have arrays of this thread, from now on, in memory with guards; gives words, of which the first counts them."""
    context = (ctypes.c_int64 * 8)(0, *(ctypes.cast(getattr(_C, name), ctypes.c_void_p).value for name in _FUNCTIONS))
    entries = [codegen.address(f"guarded_{name}", source, entry="call") for name, source in _SOURCES.items()]
    handler = Handler(b"guard pages", 1, ctypes.addressof(context), *entries)
    api = ctypes.pythonapi
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    table = ctypes.cast(pointer(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    new = capsule(("PyCapsule_New", api))(ctypes.addressof(handler), b"mem_handler", None)
    ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])(new)
    keep_forever(context, handler)  # arrays may be freed at the very end
    return context
