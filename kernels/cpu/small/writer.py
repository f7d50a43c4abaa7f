"""Calls that write where their first operand is, as one compiled call.

What is recorded is not written over: the box becomes the result of a new node, whose operand is a box that takes over
what this one was. Anything else that holds the box would see it change, and so there must be nothing but a name; of
what is not recorded, its memory must be nobody else's. All other calls are handed on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once
from typing import Any, NamedTuple

from .. import ndarray
from ..ndarray import BASE, DTYPE, FLAGS, NDIM, REFERENCES, SHAPE, TYPE, WRITEABLE
from .calls import AT, BEGIN, DIMENSIONS, HAND_ON, SMALL, UNKNOWN, Call
from .recorder import Boxes, Nodes, recording_call, slot_of
from .views import indented


class Past(NamedTuple):
    """What else boxes have, and where it is counted that one of them was written to.

    `elsewhere` is a module's dictionary and a name in it, which is 0 unless others see to writes; `story` the slot for
    what became of a box, its class, and the slot there for what the box was before; `watched` are slots that are unset
    unless somebody looks at the box, `output` tells which result of its creator it is. `writes` is a dictionary and a
    name in it, for the number of writes, and by how much each adds to the generation. `seen` is the class of boxes that
    record nothing and were written to while others saw it, which nodes do not hold themselves; its dictionary has the
    addresses of those in whose place nodes hold something.
    """

    elsewhere: tuple[dict[str, Any], str]
    story: tuple[str, type, str]
    watched: tuple[str, str]
    output: str
    writes: tuple[dict[str, Any], str, int]
    seen: tuple[type, dict[int, Any]]


_REFERENCES = f"""{BEGIN}
    return invoke_1(word_at(api + {AT["PyLong_FromSsize_t"]}), (int64(int_at(word_at(args) + {REFERENCES})),))
"""

# own words: 0 boxes' class, 8 array, 16 creator, 24 generation, 32 the context variable, 40 the number of operands, 48
# the work's address, 56 its record, 64 the recorded work's address, 72 its record, 80 how many references what only a
# name holds has, 88 the dictionary, 96 and name, of elsewhere, 104 the slots story, 112 past, 120 and 128 watched, 136
# index, 144 the dictionary, 152 the name, 160 and the steps of writes, 168 the class of those that were seen,
# 176 and the dictionary
_SOURCE = f"""{BEGIN}
    fits = count == word_at(own + 40)
    none = word_at(api + {AT["none"]})
    release = word_at(api + {AT["Py_DecRef"]})
    increase = word_at(api + {AT["Py_IncRef"]})
    given = int64_lanes()
    generation = -1
    own_generation = -1
    seen = False
    if fits:
        for i in range(count):
            box = word_at(args + 8 * i)
            if i == 0 and word_at(box + {TYPE}) == word_at(own + 168):
                seen = True
            elif word_at(box + {TYPE}) != word_at(own):
                fits = False
                break
            array = word_at(box + word_at(own + 8))
            made = word_at(box + word_at(own + 24))
            if array == 0 or made == 0 or word_at(box + word_at(own + 16)) == 0:
                fits = False
                break
            if word_at(array + {TYPE}) != word_at(api + {AT["ndarray"]}):
                fits = False
                break
            if word_at(made + {TYPE}) != word_at(api + {AT["int"]}):
                fits = False
                break
            given[i] = array
            later = invoke_1(word_at(api + {AT["PyLong_AsSsize_t"]}), (made,))
            if i == 0:
                own_generation = later
            generation = max(generation, later)
    if not fits:
{HAND_ON}
    x = word_at(args)
    array = given[0]
    ndim = int64(int_at(array + {NDIM}))
    shape = word_at(array + {SHAPE})
    n = 1
    for axis in range(ndim):
        n *= word_at(shape + 8 * axis)
    if n > {SMALL} or ndim > {DIMENSIONS} or own_generation < -1:
        fits = False
    if int_at(array + {REFERENCES}) != 1 or word_at(array + {BASE}) != 0 or int_at(array + {FLAGS}) & {WRITEABLE} == 0:
        fits = False
    get = word_at(api + {AT["PyDict_GetItem"]})
    if invoke_2(get, (word_at(own + 88), word_at(own + 96))) != word_at(api + {AT["0"]}):
        fits = False
    references = int64(int_at(x + {REFERENCES}))
    unseen = references > 0 and references <= word_at(own + 80)
    creator = word_at(x + word_at(own + 16))
    story = word_at(x + word_at(own + 104))
    recorded = False
    if fits and generation >= 0:
        place = address(given) + 8 * 63
        if int32(invoke_3(word_at(api + {AT["PyContextVar_Get"]}), (word_at(own + 32), 0, place))) == 0:
            mode = word_at(place)
            recorded = mode == word_at(api + {AT["true"]})
            invoke_1(release, (mode,))
    leaf = creator == none and own_generation >= 0
    if seen and recorded:
        fits = False
    elif seen:
        key = invoke_1(word_at(api + {AT["PyLong_FromSsize_t"]}), (x,))
        if key == 0:
            return 0
        if invoke_2(get, (word_at(own + 176), key)) != 0:
            fits = False
        invoke_1(release, (key,))
    elif leaf and recorded:
        fits = False
    elif leaf:  # one that was written to before: nodes tell what it was by its generation
        past = 0
        if story != 0 and story != none:
            past = word_at(story + word_at(own + 112))
        if past == 0 or past == none:
            fits = False
        elif word_at(past + word_at(own + 16)) != none:
            fits = False
        elif invoke_1(word_at(api + {AT["PyLong_AsSsize_t"]}), (word_at(past + word_at(own + 24)),)) < 0:
            fits = False
    elif not unseen or (story != 0 and story != none):
        fits = False
    for i in range(2):
        watched = word_at(x + word_at(own + 120 + 8 * i))
        if recorded and watched != 0 and watched != none:
            fits = False
    if not fits:
{HAND_ON}
    if not recorded:
        given[count] = array
        result = invoke_3(word_at(own + 48), (word_at(own + 56), address(given), count + 1))
        if result == {UNKNOWN}:
{indented(HAND_ON, 4)}
        if result == 0:
            return 0
        invoke_1(release, (result,))
        if leaf:
            names = word_at(own + 144)
            writes = invoke_1(
                word_at(api + {AT["PyLong_AsSsize_t"]}), (invoke_2(get, (names, word_at(own + 152))),)
            )
            number = invoke_1(word_at(api + {AT["PyLong_FromSsize_t"]}), (writes + 1,))
            made = invoke_1(word_at(api + {AT["PyLong_FromSsize_t"]}), ((writes + 1) * word_at(own + 160),))
            if number == 0 or made == 0:
                return 0
            invoke_3(word_at(api + {AT["PyDict_SetItem"]}), (names, word_at(own + 152), number))
            invoke_1(release, (number,))
            before = word_at(x + word_at(own + 24))
            words_at(x + word_at(own + 24))[0] = made
            invoke_1(release, (before,))
        invoke_1(increase, (x,))
        return x
    past = invoke_2(word_at(api + {AT["PyType_GenericAlloc"]}), (word_at(own), 0))
    if past == 0:
        return 0
    for i in range(4):
        slot = word_at(own + 136) if i == 3 else word_at(own + 8 + 8 * i)
        value = word_at(x + slot)
        if value != 0:
            invoke_1(increase, (value,))
            words_at(past + slot)[0] = value
    given[0] = past
    for i in range(1, count):
        given[i] = word_at(args + 8 * i)
    y = invoke_3(word_at(own + 64), (word_at(own + 72), address(given), count))
    invoke_1(release, (past,))
    if y == 0:
        return 0
    if y != {UNKNOWN}:
        result = word_at(y + word_at(own + 8))
        fits = word_at(result + {DTYPE}) == word_at(array + {DTYPE}) and int64(int_at(result + {NDIM})) == ndim
        if word_at(y + word_at(own + 16)) == none:  # of what has no gradients
            fits = False
        for axis in range(ndim):
            if fits and word_at(word_at(result + {SHAPE}) + 8 * axis) != word_at(shape + 8 * axis):
                fits = False
        if not fits:
            invoke_1(release, (y,))
    if y == {UNKNOWN} or not fits:
{HAND_ON}
    for i in range(3):  # each becomes what the other was
        slot = word_at(own + 8 + 8 * i)
        value = word_at(x + slot)
        words_at(x + slot)[0] = word_at(y + slot)
        words_at(y + slot)[0] = value
    value = word_at(x + word_at(own + 136))  # of several results, this is not one any more
    words_at(x + word_at(own + 136))[0] = 0
    if value != 0:
        invoke_1(release, (value,))
    invoke_1(release, (y,))
    invoke_1(increase, (x,))
    return x
"""


@once
def references() -> Call:
    """Give ``(x, ...)``: how many references there are to x, as the compiled call sees it that writes."""
    return Call("references", _REFERENCES)


def written(
    work: Call, boxes: Boxes, nodes: Nodes | None, operands: int, past: Past, single: int, otherwise: Callable[..., Any]
) -> Callable[..., Any]:
    """Give a builtin that writes what some work gives into the first box and gives this; `otherwise` has other calls.

    The work takes a place to write to as its last argument, behind the operands. `single` are the references that there
    are to a box that only a name holds.
    """
    if not ndarray.layout_holds():
        return otherwise
    recording = recording_call(work, boxes, nodes, operands)
    if recording is None:
        return otherwise
    kind, plain, whole = boxes.kind, work.record(), recording.record()
    words: list[Any] = [id(kind), *(slot_of(kind, name) for name in (boxes.array, boxes.creator, boxes.generation))]
    words += [id(boxes.recording), operands, work.address(), id(plain), recording.address(), id(whole), single]
    words += [*map(id, past.elsewhere), slot_of(kind, past.story[0]), slot_of(*past.story[1:])]
    words += [
        *(slot_of(kind, name) for name in (*past.watched, past.output)),
        *map(id, past.writes[:2]),
        past.writes[2],
    ]
    words += [*map(id, past.seen)]
    if None in words:
        return otherwise
    return Call("written", _SOURCE, words, (boxes, nodes, past, plain, whole, work, recording)).function(otherwise)
