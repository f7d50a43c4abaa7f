"""Recurrent networks: RNN, LSTM and GRU, in layers and both directions, and their cells."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...arrays import is_stand_in
from ...ops.creation import empty, zeros
from ...ops.elementwise import relu, sigmoid, tanh
from ...ops.joining import cat, stack
from ...ops.slicing import flip
from ...variable import data_of
from .. import functional, init
from ..parameter import Parameter
from ..recurrence import lstm
from ..utils.rnn import PackedSequence, segments
from .module import Module

#: Blocks of rows that the weights of a kind have: gates, and what is proposed.
_BLOCKS = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


def step(mode: str, given: Any, state: tuple[Any, ...], weight: Any, bias: Any, projection: Any = None) -> Any:
    """Give the next state, from what the inputs add to all blocks."""
    h = state[0]
    recurrent = functional.linear(h, weight, bias)
    if mode in ("RNN_TANH", "RNN_RELU"):
        return ((tanh if mode == "RNN_TANH" else relu)(given + recurrent),)
    size = weight.shape[0] // _BLOCKS[mode]
    blocks = [(..., slice(k * size, (k + 1) * size)) for k in range(_BLOCKS[mode])]
    if is_stand_in(data_of(given)):  # loops read blocks of what is in memory, and of nothing else
        sums = [given[block] + recurrent[block] for block in blocks[:2]]
    else:
        both = given[..., : 2 * size] + recurrent[..., : 2 * size] if mode == "GRU" else given + recurrent
        sums = [both[block] for block in blocks[:2]]
    if mode == "GRU":
        reset, keep = sigmoid(sums[0]), sigmoid(sums[1])
        proposed = tanh(given[blocks[2]] + reset * recurrent[blocks[2]])
        return (proposed + keep * (h - proposed),)
    if is_stand_in(data_of(given)):
        sums += [given[block] + recurrent[block] for block in blocks[2:]]
    else:
        sums += [both[block] for block in blocks[2:]]
    first, forget, proposed, last = sums
    c = sigmoid(forget) * state[1] + sigmoid(first) * tanh(proposed)
    h = sigmoid(last) * tanh(c)
    return (h if projection is None else functional.linear(h, projection)), c


class _Recurrent(Module):
    mode = "RNN_TANH"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if hidden_size <= 0 or num_layers <= 0:
            raise ValueError(f"{name}: sizes are positive, got hidden_size {hidden_size} and num_layers {num_layers}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout is a probability, got {dropout}")
        if proj_size and (self.mode != "LSTM" or not 0 < proj_size < hidden_size):
            raise ValueError(f"{name}: proj_size is for LSTM, and below hidden_size, got {proj_size}")
        self.input_size, self.hidden_size, self.num_layers, self.bias = input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional = batch_first, float(dropout), bidirectional
        self.proj_size = proj_size
        rows, given = _BLOCKS[self.mode] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                inputs = input_size if layer == 0 else given * directions
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, given)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for what, shape in shapes.items():
                    setattr(self, f"{what}_{suffix}", Parameter(empty(*shape, dtype=dtype, device=device)))
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: the parameters lie as they are used."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Give the last layer's output at every step, and the last state of every layer and direction.

        Inputs have the shape (steps, batch, features), (batch, steps, features) with `batch_first`, or no batch; of a
        `PackedSequence` the output is one. Raises ValueError for other shapes.
        """
        name = type(self).__name__
        if isinstance(input, PackedSequence):
            return self._of_packed(input, hx)
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise ValueError(f"{name}: input has 2 or 3 dimensions, the last of size {self.input_size}: {input.shape}")
        alone = input.ndim == 2
        x = input[:, None] if alone else input.swapaxes(0, 1) if self.batch_first else input
        states = self._states(x, hx, alone)
        x, last = self._layers(x, states, self._run)
        if alone:
            x, last = x[:, 0], tuple(part[:, 0] for part in last)
        elif self.batch_first:
            x = x.swapaxes(0, 1)
        return x, last if self.mode == "LSTM" else last[0]

    def _layers(self, x: Any, states: Any, run: Callable[..., Any]) -> tuple[Any, tuple[Any, ...]]:
        """Run all layers, in both directions where asked to; gives the last one's output, and all last states."""
        ends: list[tuple[Any, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = functional.dropout(x, self.dropout, True)
            outputs = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                state = tuple(part[len(ends)] for part in states)
                output, end = run(x, state, suffix, bool(direction))
                outputs.append(output)
                ends.append(end)
            x = outputs[0] if len(outputs) == 1 else cat(outputs, -1)
        return x, tuple(stack(list(parts)) for parts in zip(*ends, strict=True))

    def _of_packed(self, packed: PackedSequence, hx: Any) -> Any:
        """Run on sequences of several lengths: steps in parts, at whose ends some end."""
        x, parts = packed.data, segments(packed.batch_sizes)
        if x.ndim != 2 or x.shape[-1] != self.input_size:
            raise ValueError(f"{type(self).__name__}: packed rows have {self.input_size} features, got {x.shape}")
        if hx is not None and packed.sorted_indices is not None:
            hx = tuple(h[:, packed.sorted_indices] for h in hx) if self.mode == "LSTM" else hx[:, packed.sorted_indices]
        states = self._states(x[: parts[0][2]][None], hx, False)

        def run(x: Any, state: Any, suffix: str, back: bool) -> tuple[Any, tuple[Any, ...]]:
            return (self._packed_back if back else self._packed_forth)(x, parts, state, suffix)

        x, last = self._layers(x, states, run)
        if packed.unsorted_indices is not None:
            last = tuple(h[:, packed.unsorted_indices] for h in last)
        return packed._replace(data=x), last if self.mode == "LSTM" else last[0]

    def _packed_forth(self, x: Any, parts: Any, state: Any, suffix: str) -> tuple[Any, tuple[Any, ...]]:
        outputs, ended = [], []
        for begin, end, count in parts:
            ended.append(tuple(h[count:] for h in state))
            state = tuple(h[:count] for h in state)
            y, state = self._run(x[begin:end].reshape((-1, count, x.shape[1])), state, suffix, False)
            outputs.append(y.reshape((end - begin, -1)))
        return cat(outputs), tuple(cat([h, *reversed(rest)]) for h, *rest in zip(state, *ended, strict=True))

    def _packed_back(self, x: Any, parts: Any, state: Any, suffix: str) -> tuple[Any, tuple[Any, ...]]:
        outputs, reached = [], tuple(h[:0] for h in state)
        for begin, end, count in reversed(parts):  # the longest begin, others join where they end
            reached = tuple(cat([h, first[h.shape[0] : count]]) for h, first in zip(reached, state, strict=True))
            y, reached = self._run(x[begin:end].reshape((-1, count, x.shape[1])), reached, suffix, True)
            outputs.append(y.reshape((end - begin, -1)))
        return cat(outputs[::-1]), reached

    def _states(self, x: Any, hx: Any, alone: bool) -> tuple[Any, ...]:
        """Give the states to begin with, each of shape (layers and directions, batch, features)."""
        count, batch = self.num_layers * (2 if self.bidirectional else 1), x.shape[1]
        sizes = [self.proj_size or self.hidden_size] + [self.hidden_size] * (self.mode == "LSTM")
        if hx is None:
            options: Any = {"dtype": x.dtype, "device": getattr(x, "device", None)}
            return tuple(zeros(count, batch, size, **options) for size in sizes)
        if self.mode == "LSTM" and not (isinstance(hx, tuple | list) and len(hx) == 2):
            raise TypeError(f"LSTM: the state is a pair (h, c), got {type(hx).__name__}")
        given = tuple(hx) if self.mode == "LSTM" else (hx,)
        if alone:
            given = tuple(part[:, None] for part in given)
        for part, size in zip(given, sizes, strict=True):
            if part.shape != (count, batch, size):
                raise ValueError(f"{type(self).__name__}: a state has shape {part.shape}: not {(count, batch, size)}")
        return given

    def _run(self, x: Any, state: tuple[Any, ...], suffix: str, back: bool) -> tuple[Any, tuple[Any, ...]]:
        """Go through the steps of one layer in one direction."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        of_input, of_state, input_bias, state_bias, projection = [
            self._parameters.get(f"{name}_{suffix}") for name in names
        ]
        steps, batch = x.shape[:2]
        # one product for all steps
        if self.mode != "GRU" and input_bias is not None and state_bias is not None:
            input_bias, state_bias = input_bias + state_bias, None  # GRU's proposal has one of its own
        given = functional.linear(x.reshape((steps * batch, x.shape[2])), of_input, input_bias)
        given = given.reshape((steps, batch, given.shape[-1]))
        if self.mode == "LSTM" and projection is None:
            found = lstm(flip(given, (0,)) if back else given, state[0], state[1], of_state)
            if found is not None:
                y, *end = found
                return flip(y, (0,)) if back else y, tuple(end)
        outputs: list[Any] = [None] * steps
        for place in reversed(range(steps)) if back else range(steps):
            state = step(self.mode, given[place], state, of_state, state_bias, projection)
            outputs[place] = state[0]
        return stack(outputs), state

    def extra_repr(self) -> str:
        """Show the options."""
        shown = f"{self.input_size}, {self.hidden_size}"
        shown += f", proj_size={self.proj_size}" if self.proj_size else ""
        shown += f", num_layers={self.num_layers}" if self.num_layers != 1 else ""
        shown += "" if self.bias else f", bias={self.bias}"
        shown += f", batch_first={self.batch_first}" if self.batch_first else ""
        shown += f", dropout={self.dropout}" if self.dropout else ""
        return shown + (f", bidirectional={self.bidirectional}" if self.bidirectional else "")


def _nonlinear(name: str, nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"{name}: nonlinearity is 'tanh' or 'relu', not {nonlinearity!r}")
    return f"RNN_{nonlinearity.upper()}"


class RNN(_Recurrent):
    """``h = tanh(x @ w.T + b + h @ u.T + c)`` from step to step; relu with ``nonlinearity="relu"``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        mode = _nonlinear("RNN", nonlinearity)
        object.__setattr__(self, "mode", mode)
        object.__setattr__(self, "nonlinearity", nonlinearity)
        options = bias, batch_first, dropout, bidirectional, 0, device, dtype
        super().__init__(input_size, hidden_size, num_layers, *options)


class LSTM(_Recurrent):
    """Long short-term memory: gates in the order input, forget, proposal, output, as PyTorch's weights have it."""

    mode = "LSTM"


class GRU(_Recurrent):
    """Gated recurrent units: gates in the order reset, keep, proposal, as PyTorch's weights have it."""

    mode = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = bias, batch_first, dropout, bidirectional, 0, device, dtype
        super().__init__(input_size, hidden_size, num_layers, *options)


class _Cell(Module):
    mode = "RNN_TANH"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = _BLOCKS[self.mode] * hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}
        for name, shape in (shapes | {"bias_ih": (rows,), "bias_hh": (rows,)}).items():
            wanted = bias or name.startswith("weight")
            made = Parameter(empty(*shape, dtype=dtype, device=device)) if wanted else None
            self.register_parameter(name, made)
        bound = 1 / math.sqrt(hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Give the next state; for LSTM that is (output, memory)."""
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            name, size = type(self).__name__, self.input_size
            raise ValueError(f"{name}: input has 1 or 2 dimensions, the last of size {size}: {input.shape}")
        alone = input.ndim == 1
        x = input[None] if alone else input
        several = self.mode == "LSTM"
        if hx is None:
            device: Any = getattr(x, "device", None)
            state = (zeros(x.shape[0], self.hidden_size, dtype=x.dtype, device=device),) * (2 if several else 1)
        else:
            state = tuple(hx) if several else (hx,)
            state = tuple(part[None] for part in state) if alone else state
        given = functional.linear(x, self.weight_ih, self.bias_ih)
        state = step(self.mode, given, state, self.weight_hh, self.bias_hh)
        state = tuple(part[0] for part in state) if alone else state
        return state if several else state[0]

    def extra_repr(self) -> str:
        """Show the options."""
        shown = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else f", bias={self.bias}")
        return shown + (", nonlinearity=relu" if self.mode == "RNN_RELU" else "")


class RNNCell(_Cell):
    """One step of RNN."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        object.__setattr__(self, "mode", _nonlinear("RNNCell", nonlinearity))
        super().__init__(input_size, hidden_size, bias, device, dtype)


class LSTMCell(_Cell):
    """One step of LSTM."""

    mode = "LSTM"


class GRUCell(_Cell):
    """One step of GRU."""

    mode = "GRU"
