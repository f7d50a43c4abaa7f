"""Calls that are recorded, as one compiled call: arrays out of their boxes, the work, the result's box and its past.

A box is an object with an array, and a creator and a generation where what made it is remembered; a node remembers
what made one. What they are called, and what a graph is for, is their owner's business (`nbgrad.function`): here they
are slots, written where the classes have them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import cache as once
from types import MappingProxyType
from typing import Any, NamedTuple

from .. import ndarray
from ..ndarray import DTYPE, ITEMS, LENGTH, NDIM, SHAPE, TYPE, VALUE
from .calls import AT, BEGIN, DIMENSIONS, HAND_ON, SMALL, UNKNOWN, Call

#: More operands than this go the other way.
_OPERANDS = 32


class Boxes(NamedTuple):
    """The class of boxes, and the names of its slots; where recording is switched."""

    kind: type
    array: str
    creator: str
    generation: str
    recording: ContextVar[bool]


class Views(NamedTuple):
    """How it is noted that a box is a view of another: in a list, by weak references to both, until that has `most`.

    `names` is a module's dictionary, where `noted` is whether this is to be done, and `elsewhere` 0 unless others see
    to it. A box may have a `story`, of a class with a `family` that is -1, unless its views are to belong to that.
    """

    names: dict[str, Any]
    elsewhere: str
    noted: str
    fresh: list[Any]
    most: int
    story: tuple[str, type, str]


class Nodes(NamedTuple):
    """The class of nodes, the one of nodes whose operands all have the result's form, and the names of slots.

    `inputs` are the boxes, `kept` the slots for arguments that follow them, `output` the one for the result, if any,
    which has None unless it `keeps_output`; `fixed` are slots with the same value in all nodes. Where results are
    views of their one operand, `views` tells how that is noted.
    """

    kind: type
    even: type
    inputs: str
    generation: str
    kept: Sequence[str] = ()
    output: str | None = None
    keeps_output: bool = False
    fixed: Mapping[str, Any] = MappingProxyType({})
    views: Views | None = None


# own words: 0 boxes' class, 8 array, 16 creator, 24 generation, 32 the context variable, 40 the number of operands or
# 0, 48 how many arguments follow them, 56 the work's address, 64 its record, 72 nodes' class, 80 that of even ones, 88
# inputs, 96 generation, 104 output or 0, 112 whether results are recorded, 120 whether the output is kept, 128 how many
# slots are fixed, 136 if results are views the dictionary, 144 its names for elsewhere, 152 and noted, 160 the list,
# 168 and its most, 176 the slots story, 184 and family, 192 the boxes of numbers or 0, 200 ... the slots of arguments,
# those that are fixed with their values
_SOURCE = f"""{BEGIN}
    extras = word_at(own + 48)
    inputs = count - extras
    fits = inputs > 0 and inputs <= {_OPERANDS}
    if word_at(own + 40) > 0 and inputs != word_at(own + 40):
        fits = False
    if count > 0 and word_at(word_at(args) + {TYPE}) == word_at(api + {AT["ndarray"]}):  # nothing to record
        for i in range(inputs):
            if word_at(word_at(args + 8 * i) + {TYPE}) != word_at(api + {AT["ndarray"]}):
                fits = False
        bare = {UNKNOWN}
        if fits:
            bare = invoke_3(word_at(own + 56), (word_at(own + 64), args, count))
        if bare != {UNKNOWN}:
            return bare
{HAND_ON}
    given = int64_lanes()
    generation = -1
    minus_one = word_at(api + {AT["-1"]})
    unmade = minus_one  # the generation of what is not recorded
    views = word_at(own + 136)
    noted = False
    boxes_of_numbers = word_at(own + 192)
    numbered = False
    float_type = word_at(api + {AT["float"]})
    held = int64_lanes()
    if fits:
        for i in range(inputs):
            x = word_at(args + 8 * i)
            kind = word_at(x + {TYPE})
            if kind != word_at(own):
                if boxes_of_numbers != 0 and (kind == float_type or kind == word_at(api + {AT["int"]})):
                    held[i] = 0
                    numbered = True
                    continue
                fits = False
                break
            held[i] = x
            array = word_at(x + word_at(own + 8))
            made = word_at(x + word_at(own + 24))
            if array == 0 or made == 0:
                fits = False
                break
            if word_at(array + {TYPE}) != word_at(api + {AT["ndarray"]}):
                fits = False
                break
            ndim = int64(int_at(array + {NDIM}))
            shape = word_at(array + {SHAPE})
            n = 1
            for axis in range(ndim):
                n *= word_at(shape + 8 * axis)
            if n > {SMALL} or ndim > {DIMENSIONS}:
                fits = False
                break
            given[i] = array
            if made != minus_one:
                if word_at(made + {TYPE}) != word_at(api + {AT["int"]}):
                    fits = False
                    break
                later = invoke_1(word_at(api + {AT["PyLong_AsSsize_t"]}), (made,))
                if later > generation:
                    generation = later
                elif later < -1 and views != 0:  # a view of what is cut off is so as well
                    unmade = made
    if numbered and fits:  # numbers are of the dtype of what they meet
        letter = 0
        for i in range(inputs):
            if held[i] != 0 and letter == 0:
                if word_at(given[i] + {DTYPE}) == word_at(api + {AT["float64"]}):
                    letter = word_at(api + {AT["d"]})
                elif word_at(given[i] + {DTYPE}) == word_at(api + {AT["float32"]}):
                    letter = word_at(api + {AT["f"]})
        fits = letter != 0
        for i in range(inputs):
            if fits and held[i] == 0:
                key = invoke_1(word_at(api + {AT["PyTuple_New"]}), (2,))
                if key == 0:
                    return 0
                number = word_at(args + 8 * i)  # zeros of both signs would be one key
                if word_at(number + {TYPE}) == float_type and word_at(number + {VALUE}) << 1 == 0:
                    number = word_at(api + ({AT["0.0"]} if word_at(number + {VALUE}) == 0 else {AT["-0.0"]}))
                elif number == word_at(api + {AT["0"]}):
                    number = word_at(api + {AT["0.0"]})
                invoke_1(word_at(api + {AT["Py_IncRef"]}), (letter,))
                invoke_1(word_at(api + {AT["Py_IncRef"]}), (number,))
                words_at(key + {ITEMS})[0] = letter
                words_at(key + {ITEMS + 8})[0] = number
                held[i] = invoke_2(word_at(api + {AT["PyDict_GetItem"]}), (boxes_of_numbers, key))
                invoke_1(word_at(api + {AT["Py_DecRef"]}), (key,))
                if held[i] == 0:
                    fits = False
                else:
                    given[i] = word_at(held[i] + word_at(own + 8))
    if views != 0 and fits:
        get = word_at(api + {AT["PyDict_GetItem"]})
        if invoke_2(get, (views, word_at(own + 144))) != word_at(api + {AT["0"]}):
            fits = False
        if invoke_2(get, (views, word_at(own + 152))) != word_at(api + {AT["false"]}):
            noted = True
            story = word_at(word_at(args) + word_at(own + 176))
            if word_at(word_at(own + 160) + {LENGTH}) >= word_at(own + 168):
                fits = False
            elif story != 0 and story != word_at(api + {AT["none"]}):
                if word_at(story + word_at(own + 184)) != minus_one:
                    fits = False
    data = {UNKNOWN}
    if fits:
        for i in range(inputs, count):
            given[i] = word_at(args + 8 * i)
        data = invoke_3(word_at(own + 56), (word_at(own + 64), address(given), count))
    if data == {UNKNOWN}:
{HAND_ON}
    if data == 0:
        return 0
    increase = word_at(api + {AT["Py_IncRef"]})
    recorded = False
    if generation >= 0 and word_at(own + 112) != 0:
        place = address(given) + 8 * 63
        if int32(invoke_3(word_at(api + {AT["PyContextVar_Get"]}), (word_at(own + 32), 0, place))) == 0:
            mode = word_at(place)
            recorded = mode == word_at(api + {AT["true"]})
            invoke_1(word_at(api + {AT["Py_DecRef"]}), (mode,))
    y = invoke_2(word_at(api + {AT["PyType_GenericAlloc"]}), (word_at(own), 0))
    if y == 0:
        invoke_1(word_at(api + {AT["Py_DecRef"]}), (data,))
        return 0
    words_at(y + word_at(own + 8))[0] = data
    if noted:
        for i in range(2):
            box = word_at(args) if i == 0 else y
            reference = invoke_2(word_at(api + {AT["PyWeakref_NewRef"]}), (box, 0))
            failed = reference == 0
            if not failed:
                failed = int32(invoke_2(word_at(api + {AT["PyList_Append"]}), (word_at(own + 160), reference))) < 0
                invoke_1(word_at(api + {AT["Py_DecRef"]}), (reference,))
            if failed:
                invoke_1(word_at(api + {AT["Py_DecRef"]}), (y,))
                return 0
    if not recorded:
        none = word_at(api + {AT["none"]})
        invoke_1(increase, (none,))
        words_at(y + word_at(own + 16))[0] = none
        invoke_1(increase, (unmade,))
        words_at(y + word_at(own + 24))[0] = unmade
        return y
    even = word_at(own + 72) != word_at(own + 80)
    if even:  # forms that broadcast to the result's, and have as many elements as it, are it
        total = 1
        ndim = int64(int_at(data + {NDIM}))
        for axis in range(ndim):
            total *= word_at(word_at(data + {SHAPE}) + 8 * axis)
        if total == 0:
            even = False
        for i in range(inputs):
            n = 1
            for axis in range(int64(int_at(given[i] + {NDIM}))):
                n *= word_at(word_at(given[i] + {SHAPE}) + 8 * axis)
            if n != total or int64(int_at(given[i] + {NDIM})) != ndim:
                even = False
    kind = word_at(own + 80) if even else word_at(own + 72)
    node = invoke_2(word_at(api + {AT["PyType_GenericAlloc"]}), (kind, 0))
    if node == 0:
        invoke_1(word_at(api + {AT["Py_DecRef"]}), (y,))
        return 0
    words_at(y + word_at(own + 16))[0] = node
    number = invoke_1(word_at(api + {AT["PyLong_FromSsize_t"]}), (generation + 1,))
    if number == 0:
        invoke_1(word_at(api + {AT["Py_DecRef"]}), (y,))
        return 0
    words_at(y + word_at(own + 24))[0] = number
    number = invoke_1(word_at(api + {AT["PyLong_FromSsize_t"]}), (generation,))
    boxes = invoke_1(word_at(api + {AT["PyTuple_New"]}), (inputs,))
    if number == 0 or boxes == 0:
        invoke_1(word_at(api + {AT["Py_DecRef"]}), (y,))
        return 0
    words_at(node + word_at(own + 96))[0] = number
    for i in range(inputs):
        invoke_1(increase, (held[i],))
        words_at(boxes + {ITEMS} + 8 * i)[0] = held[i]
    words_at(node + word_at(own + 88))[0] = boxes
    for i in range(extras):
        argument = word_at(args + 8 * (inputs + i))
        invoke_1(increase, (argument,))
        words_at(node + word_at(own + 200 + 8 * i))[0] = argument
    for i in range(word_at(own + 128)):
        place = own + 200 + 8 * extras + 16 * i
        invoke_1(increase, (word_at(place + 8),))
        words_at(node + word_at(place))[0] = word_at(place + 8)
    if word_at(own + 104) != 0:
        output = data if word_at(own + 120) != 0 else word_at(api + {AT["none"]})
        invoke_1(increase, (output,))
        words_at(node + word_at(own + 104))[0] = output
    return y
"""


class _Member(ctypes.Structure):
    """PyMemberDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


#: Where a slot's descriptor has its PyMemberDef, behind the object's header, its class, its name and its full name.
_DEFINITION = 40


@once
def slot_of(kind: type, name: str) -> int | None:
    """Give where instances of a class have a slot, in bytes; None where that cannot be relied on."""
    descriptor = next(base.__dict__[name] for base in kind.__mro__ if name in base.__dict__)
    if type(descriptor).__name__ != "member_descriptor":
        return None
    place = ctypes.c_void_p.from_address(id(descriptor) + _DEFINITION).value
    offset: int = _Member.from_address(place or 0).offset
    instance: Any = object.__new__(kind)
    value = object()
    if not 16 <= offset < kind.__basicsize__ or offset % 8:
        return None
    descriptor.__set__(instance, value)
    return offset if ctypes.c_void_p.from_address(id(instance) + offset).value == id(value) else None


def _words_of(views: Views, kind: type) -> list[int | None]:
    story, stories, family = views.story
    slots = [slot_of(kind, story), slot_of(stories, family)]
    return [*map(id, views[:4]), views.most, *slots]


def recording_call(
    work: Call, boxes: Boxes, nodes: Nodes | None, operands: int, numbers: dict[tuple[str, Any], Any] | None = None
) -> Call | None:
    """Give the call behind `recorded`; None where slots are not as they should be."""
    of_numbers = 0 if numbers is None else id(numbers)
    kind, record = boxes.kind, work.record()
    words: list[Any] = [id(kind), *(slot_of(kind, name) for name in (boxes.array, boxes.creator, boxes.generation))]
    words += [id(boxes.recording), operands]
    if nodes is None:
        words += [0, work.address(), id(record), *[0] * 15, of_numbers]
    else:
        words += [len(nodes.kept), work.address(), id(record), id(nodes.kind), id(nodes.even)]
        words += [slot_of(nodes.kind, nodes.inputs), slot_of(nodes.kind, nodes.generation)]
        words += [0 if nodes.output is None else slot_of(nodes.kind, nodes.output), 1, int(nodes.keeps_output)]
        words += [len(nodes.fixed), *(_words_of(nodes.views, kind) if nodes.views else [0] * 7), of_numbers]
        words += [slot_of(nodes.kind, name) for name in nodes.kept]
        for name, value in nodes.fixed.items():
            words += [slot_of(nodes.kind, name), id(value)]
    return None if None in words else Call("recorded", _SOURCE, words, (boxes, nodes, record, work, numbers))


def recorded(
    work: Call,
    boxes: Boxes,
    nodes: Nodes | None,
    operands: int,
    otherwise: Callable[..., Any],
    numbers: dict[tuple[str, Any], Any] | None = None,
) -> Callable[..., Any]:
    """Give a builtin that does some work on boxes' arrays and records it; `otherwise` where there can be none.

    Its arguments are boxes, as many as there are `operands` (or any number, if that is 0), and then what nodes keep.
    What requires nothing is not recorded; without `nodes`, nothing is. Bare arrays in the place of boxes give a bare
    array. An operand may be a Python number whose box is in `numbers`, under the letter of the dtype that it meets and
    itself, or as it is written if it is 0. All that is anything else, or is large, is handed on to `otherwise`, and so
    is what the work does not know.
    """
    if not ndarray.layout_holds():
        return otherwise
    call = recording_call(work, boxes, nodes, operands, numbers)
    return otherwise if call is None else call.function(otherwise)
