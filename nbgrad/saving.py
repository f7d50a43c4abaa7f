"""Saving and loading nests of arrays: safetensors, or NumPy's npz where a file's name says so.

Nothing in a file is ever executed. A file is written beside its place and takes it when it is whole on the disk, so
that whatever interrupts leaves the old one. Loading looks at everything before it gives anything.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import is_array
from .kernels import dispatch
from .variable import Variable

#: Where the description of the nest stands among a file's metadata, and among the arrays of an npz.
_NEST, _SUM = "nbgrad.nest", "nbgrad.sha256"
#: Names that arrays cannot have: these, and what else np.savez takes by name.
_TAKEN = (_NEST, _SUM, "file", "allow_pickle")


def save(obj: Any, f: Any) -> None:
    """Write a nest of Variables, arrays, numbers, strings and None to a file.

    `f` is a path, or a file that is open for bytes. That, and a path that ends in .npz, get NumPy's format, any other
    the safetensors format, for which ``pip install 'nbgrad[io]'``. Raises TypeError for anything else in the nest,
    ImportError without safetensors.
    """
    arrays: dict[str, Any] = {}
    nest = json.dumps(_described(obj, arrays, ""))
    path = None if hasattr(f, "write") else Path(os.fspath(f))
    if path is None or path.suffix == ".npz":
        buffer = io.BytesIO()
        described: Any = {_NEST: np.frombuffer(nest.encode(), np.uint8)}
        described[_SUM] = np.frombuffer(_sum_of(arrays, nest).encode(), np.uint8)
        np.savez(buffer, **arrays, **described)
        content = buffer.getvalue()
    else:
        library = _library("save")
        try:
            content = library.save(arrays, {"format": "np", _NEST: nest, _SUM: _sum_of(arrays, nest)})
        except Exception as error:  # a dtype that the format has not
            raise TypeError(f"save: {error}: a name with .npz takes it") from None
    if path is None:
        f.write(content)
    else:
        _write(path, content)


def load(f: Any, map_location: Any = None, weights_only: bool = True) -> Any:
    """Read a nest that `save` wrote, or the arrays of any file of safetensors or npz, by their names, as Variables.

    `f` is a path, or a file that is open for bytes, which is read to its end. `map_location` is a device. Raises
    ValueError for a file that is cut off, altered or no such file.
    """
    if not weights_only:
        raise ValueError("load: weights_only=False would execute what a file says: there is no such thing here")
    if hasattr(f, "read"):
        path, content = f, f.read()
    else:
        path = Path(os.fspath(f))
        content = path.read_bytes()
    try:
        arrays, nest = _from_npz(content) if content[:2] == b"PK" else _from_safetensors(content)
        found = (
            {k: Variable(x, requires_grad=False) for k, x in arrays.items()} if nest is None else _made(nest, arrays)
        )
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # whatever a library makes of bytes that are not what they should be
        raise ValueError(f"load: {path} is cut off, altered, or no file of safetensors or npz: {error}") from None
    return found if map_location is None else _moved(found, map_location)


def _library(what: str) -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            f"{what}: the safetensors format needs safetensors: pip install 'nbgrad[io]', or take a name with .npz"
        ) from None
    return safetensors.numpy


def _from_safetensors(content: bytes) -> tuple[dict[str, Any], Any]:
    arrays = _library("load").load(content)
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return arrays, _checked(arrays, metadata.get(_NEST), metadata.get(_SUM))


def _from_npz(content: bytes) -> tuple[dict[str, Any], Any]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}  # which looks at their checksums
    told = [arrays.pop(name, None) for name in (_NEST, _SUM)]
    return arrays, _checked(arrays, *[None if text is None else text.tobytes().decode() for text in told])


def _checked(arrays: dict[str, Any], nest: str | None, expected: str | None) -> Any:
    """Give the description of a nest, None for files of others, which have neither it nor a checksum."""
    if nest is None and expected is None:
        return None
    if nest is None or expected != _sum_of(arrays, nest):
        raise ValueError("its bytes are not those that were written")
    return json.loads(nest)


def _sum_of(arrays: dict[str, Any], nest: str) -> str:
    whole = hashlib.sha256(nest.encode())
    for name in sorted(arrays):
        whole.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape};".encode())
        whole.update(np.ascontiguousarray(arrays[name]).tobytes())
    return whole.hexdigest()


# ---- nests ----------------------------------------------------------------------------------------------------------


def _described(value: Any, arrays: dict[str, Any], path: str) -> Any:
    """Describe a nest, and collect its arrays by the paths to them."""
    if isinstance(value, Variable) or is_array(value) or isinstance(value, np.generic):
        array = dispatch.in_numpy(value.data if isinstance(value, Variable) else np.asarray(value))
        if array.dtype.kind not in "fiubc":
            raise TypeError(f"save: {path or 'the value'} has dtype {array.dtype}, which is no number")
        name = path or "value"
        while name in arrays or name in _TAKEN:
            name += "_"
        arrays[name] = np.array(array, array.dtype.newbyteorder("="), order="C")
        return ["variable", name, value.requires_grad] if isinstance(value, Variable) else ["array", name]
    if value is None or isinstance(value, bool | int | float | str):
        return ["plain", repr(value) if isinstance(value, float) else value, type(value).__name__]
    if isinstance(value, dict):
        items = []
        for key, item in value.items():
            if not isinstance(key, str | int):
                raise TypeError(
                    f"save: a key at {path or 'the top'} is a {type(key).__name__}: keys are strings and numbers"
                )
            items.append([key, _described(item, arrays, f"{path}.{key}" if path else str(key))])
        return ["dict", items]
    if type(value) in (list, tuple):
        items = [_described(item, arrays, f"{path}.{k}" if path else str(k)) for k, item in enumerate(value)]
        return [type(value).__name__, items]
    raise TypeError(
        f"save: {path or 'the value'} is a {type(value).__name__}: files hold Variables, arrays, numbers, strings, "
        "None, and dicts, lists and tuples of them; of a module save state_dict()"
    )


def _made(nest: Any, arrays: dict[str, Any]) -> Any:
    """Make a nest by its description."""
    kind, value, *rest = nest
    if kind == "variable":
        return Variable(arrays[value], requires_grad=bool(rest[0]))
    if kind == "array":
        return arrays[value]
    if kind == "plain":
        return float(value) if rest[0] == "float" else value
    if kind == "dict":
        return {key: _made(item, arrays) for key, item in value}
    if kind not in ("list", "tuple"):
        raise ValueError(f"a nest has no {kind!r}")
    items = [_made(item, arrays) for item in value]
    return items if kind == "list" else tuple(items)


def _moved(value: Any, device: Any) -> Any:
    if isinstance(value, Variable):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    return type(value)(_moved(item, device) for item in value) if isinstance(value, list | tuple) else value


# ---- files ----------------------------------------------------------------------------------------------------------


def _write(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all; of a link, the file that it leads to."""
    path = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):  # what there was keeps its permissions
            os.chmod(name, path.stat().st_mode & 0o777)
        if not path.exists():
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    if hasattr(os, "O_DIRECTORY"):
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
