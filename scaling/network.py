"""The trained network as plain numbers: layers of float32 weights and the pass through them.

Owns the arithmetic of one decision. What the inputs mean is left to `features`, what the outputs ask for to `band`,
and how a network is stored to `policy_file`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weight (out, in) and bias (out,): torch's layout, so that an export copies and never transposes."""

ROWS_PER_BLOCK = 128
"""Rows that pass at once. Chosen: 128 x 64 float64 is 64 KiB, which stays in a core's cache (1.7 times as fast)."""

_WideLayer = tuple[NDArray[np.float64], NDArray[np.float64]]

_LOWEST = np.array(-1.0)
_HIGHEST = np.array(1.0)


@dataclass(frozen=True, eq=False)
class Network:
    """A multilayer perceptron: tanh after each hidden layer, a linear last layer, the answer clipped to [-1, 1].

    Refuses layers that do not chain, are not float32 or hold a number that is not finite. Keeps its own copies.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("network has 0 layers, expected at least 1")
        copies = tuple((_own(weight), _own(bias)) for weight, bias in self.layers)
        _check_chain(copies)
        object.__setattr__(self, "layers", copies)

    @property
    def n_features(self) -> int:
        return int(self.layers[0][0].shape[1])

    @property
    def n_actions(self) -> int:
        return int(self.layers[-1][0].shape[0])

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        return tuple(int(weight.shape[0]) for weight, _ in self.layers[:-1])

    def forward(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answer each row of x, (n, n_features), with a row of (n, n_actions), each entry in [-1, 1].

        A row gets the same answer alone, in a batch and on another machine: sums run in float64 and only the answer
        is rounded. In float32 the order of summation, which differs with the batch, changes every third answer's last
        bits. A row with NaN is answered with NaN, for which `gate` puts the HPA's rule in place.
        """
        if len(x) <= ROWS_PER_BLOCK:
            return self._forward_block(x)
        starts = range(0, len(x), ROWS_PER_BLOCK)
        return np.concatenate([self._forward_block(x[start : start + ROWS_PER_BLOCK]) for start in starts])

    def _forward_block(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        signal: NDArray[np.float64] = x.astype(np.float64)
        hidden, (weight, bias) = self._wide_layers
        for hidden_weight, hidden_bias in hidden:
            signal = np.tanh(signal.dot(hidden_weight) + hidden_bias)

        answer = signal.dot(weight) + bias
        clipped: NDArray[np.float64] = np.minimum(np.maximum(answer, _LOWEST), _HIGHEST)  # np.clip takes 3 us longer
        return clipped.astype(np.float32)

    @cached_property
    def _wide_layers(self) -> tuple[tuple[_WideLayer, ...], _WideLayer]:
        """The hidden layers and the last one, in float64 and (in, out), as the pass multiplies."""
        wide = tuple(
            (np.ascontiguousarray(weight.T, dtype=np.float64), bias.astype(np.float64)) for weight, bias in self.layers
        )
        return wide[:-1], wide[-1]


def _own(values: NDArray[np.float32]) -> NDArray[np.float32]:
    copy = np.array(values, order="C")
    copy.setflags(write=False)
    return copy


def _check_chain(layers: Sequence[Layer]) -> None:
    """Each layer takes as many inputs as the one before it gives, in finite float32."""
    width = layers[0][0].shape[-1] if layers[0][0].ndim else 0
    for index, (weight, bias) in enumerate(layers):
        outputs = len(bias) if bias.ndim else 0
        _check_array(f"layer {index} weight", weight, (outputs, width))
        _check_array(f"layer {index} bias", bias, (outputs,))
        width = outputs


def _check_array(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.dtype != np.float32 or values.shape != shape or values.size == 0:
        raise InputError(f"{name} is {values.dtype} {values.shape}, expected float32 {shape} with no side of 0")
    if not np.isfinite(values).all():
        worst = values[~np.isfinite(values)][0]
        raise InputError(f"{name} holds {worst}, expected finite numbers only")
