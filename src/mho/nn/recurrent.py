"""Recurrent layers. Gates, states and biases are digital; every weight matrix has arrays of its own.

The input projections of all time steps are one call of their matrix; the recurrent matrix and the projection of an LSTM
with `proj_size` are called once a step. Noise is therefore drawn anew for every step, and the DAC's range of the
recurrent matrix covers all steps. Packed sequences are never padded: a step computes the sequences that are alive in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from mho.crossbar import Operator
from mho.errors import BadInput
from mho.nn.layer import AnalogLayer, MatrixView
from mho.nn.matrix import AnalogMatrix, below
from mho.nn.one_node import one_node

LINEAR = Operator()
State = tuple[Tensor, ...]


class _Direction(NamedTuple):
    """One direction of one layer: its place among the states, and the suffix of its parameters' names."""

    place: int
    suffix: str
    backwards: bool


class _Recurrent(AnalogLayer, nn.RNNBase):
    _states = 1

    def build(self, path: str) -> None:
        names = [name for name in self._flat_weights_names if name.startswith("weight")]
        self.matrices = nn.ModuleDict({name: AnalogMatrix(self.hw, below(path, name)) for name in names})

    def views(self) -> Iterator[MatrixView]:
        """One matrix a weight parameter; rows are its inputs."""
        for name, matrix in self.matrices.items():
            assert isinstance(matrix, AnalogMatrix)
            yield MatrixView(name, matrix, getattr(self, name), LINEAR)

    @one_node
    def forward(self, input: Any, hx: Any = None) -> Any:
        """The layer of torch through the arrays; arguments, shapes and results as in torch."""
        if isinstance(input, PackedSequence):
            sizes = input.batch_sizes.tolist()
            initial = self._initial(input.data, hx, sizes[0])
            if hx is not None:
                initial = self._ordered(initial, input.sorted_indices)
            y, final = self._run(input.data, sizes, initial)
            packed = PackedSequence(y, input.batch_sizes, input.sorted_indices, input.unsorted_indices)
            return packed, self._as_given(self._ordered(final, input.unsorted_indices))
        if input.dim() not in (2, 3):
            raise BadInput(
                f"the input has {input.dim()} dimensions", "give (time, batch, features) or (time, features)"
            )
        batched = input.dim() == 3
        if not batched:
            input, hx = input.unsqueeze(1), self._with_batch(hx)
        elif self.batch_first:
            input = input.transpose(0, 1)
        steps, batch = input.shape[:2]
        y, final = self._run(input.flatten(0, 1), [batch] * steps, self._initial(input, hx, batch))
        y = y.unflatten(0, (steps, batch))
        if not batched:
            return y.squeeze(1), self._as_given(tuple(state.squeeze(1) for state in final))
        return (y.transpose(0, 1) if self.batch_first else y), self._as_given(final)

    def _run(self, x: Tensor, sizes: list[int], initial: State) -> tuple[Tensor, State]:
        """All layers and directions.

        Args:
            x: Inputs of all steps one after the other, (sum of sizes, features).
            sizes: Sequences alive in each step, never growing.
            initial: States of every layer and direction, each (layers × directions, batch, width).

        Returns:
            Outputs like `x`, and the final states like `initial`.
        """
        finals: list[State] = []
        directions = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            outputs = []
            for d in range(directions):
                at = _Direction(layer * directions + d, f"_l{layer}{'_reverse' if d else ''}", d == 1)
                y, final = self._one_direction(x, sizes, tuple(state[at.place] for state in initial), at)
                outputs.append(y)
                finals.append(final)
            x = outputs[0] if directions == 1 else torch.cat(outputs, dim=-1)
            if layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple(torch.stack(states) for states in zip(*finals, strict=True))

    def _one_direction(self, x: Tensor, sizes: list[int], state: State, at: _Direction) -> tuple[Tensor, State]:
        projected = self._product("ih", x, at.suffix)
        steps = list(zip(projected.split(sizes), sizes, strict=True))
        outputs = []
        for gates, alive in reversed(steps) if at.backwards else steps:
            resting = tuple(part[alive:] for part in state)
            alive_state = tuple(part[:alive] for part in state)
            new = tuple(part.to(gates.dtype) for part in self._step(gates, alive_state, at.suffix))
            outputs.append(new[0])
            idle = alive == len(state[0])
            state = new if idle else tuple(torch.cat(pair) for pair in zip(new, resting, strict=True))
        return torch.cat(outputs[::-1] if at.backwards else outputs), state

    def _step(self, gates: Tensor, state: State, suffix: str) -> State:
        """States after one step; the first is the output.

        Args:
            gates: W_ih x + b_ih, (batch, gates).
            state: States before the step, (batch, width) each.
            suffix: Of the parameters' names.
        """
        raise NotImplementedError

    def _product(self, which: str, x: Tensor, suffix: str) -> Tensor:
        """W x + b of the matrix "ih" or "hh", or W x of "hr"."""
        name = f"weight_{which}{suffix}"
        bias = getattr(self, f"bias_{which}{suffix}") if self.bias and which != "hr" else None
        return self.matrices[name](x, getattr(self, name), LINEAR, bias)

    def _initial(self, input: Tensor, hx: Any, batch: int) -> State:
        directions = self.num_layers * (2 if self.bidirectional else 1)
        widths = (self.proj_size or self.hidden_size, self.hidden_size)[: self._states]
        if hx is None:
            return tuple(input.new_zeros(directions, batch, width) for width in widths)
        states = hx if isinstance(hx, tuple) else (hx,)
        for state, width in zip(states, widths, strict=True):
            self.check_hidden_size(state, (directions, batch, width))
        return states

    def _with_batch(self, hx: Any) -> Any:
        return (
            hx
            if hx is None
            else self._as_given(tuple(h.unsqueeze(1) for h in (hx if isinstance(hx, tuple) else (hx,))))
        )

    def _as_given(self, states: State) -> Any:
        """As torch hands them out: the tensor itself where there is only one."""
        return states if self._states > 1 else states[0]

    def _ordered(self, states: State, indices: Tensor | None) -> State:
        return states if indices is None else tuple(state.index_select(1, indices) for state in states)


class AnalogRNN(_Recurrent, nn.RNN):
    """`torch.nn.RNN` on arrays: h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu. Shapes as in torch."""

    def _step(self, gates: Tensor, state: State, suffix: str) -> State:
        total = gates + self._product("hh", state[0], suffix)
        return (torch.tanh(total) if self.mode == "RNN_TANH" else torch.relu(total),)


class AnalogLSTM(_Recurrent, nn.LSTM):
    """`torch.nn.LSTM` on arrays: (i, f, g, o) = W_ih x + b_ih + W_hh h + b_hh,
    c = σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c), or W_hr of that with `proj_size`. Shapes as in torch."""  # fmt: skip

    _states = 2

    def _step(self, gates: Tensor, state: State, suffix: str) -> State:
        i, f, g, o = (gates + self._product("hh", state[0], suffix)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return (self._product("hr", h, suffix) if self.proj_size else h), c


class AnalogGRU(_Recurrent, nn.GRU):
    """`torch.nn.GRU` on arrays: (r, z, n) from W_ih x + b_ih and (r', z', n') from W_hh h + b_hh,
    h = (1 - z) tanh(n + σ(r + r') n') + z h with z = σ(z + z'). Shapes as in torch."""

    def _step(self, gates: Tensor, state: State, suffix: str) -> State:
        reset, update, new = gates.chunk(3, dim=-1)
        reset_h, update_h, new_h = self._product("hh", state[0], suffix).chunk(3, dim=-1)
        candidate = torch.tanh(new + torch.sigmoid(reset + reset_h) * new_h)
        z = torch.sigmoid(update + update_h)
        return ((1 - z) * candidate + z * state[0],)
