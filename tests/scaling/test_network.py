"""The pass through a network: the same as torch's, the same in any batch, and never outside [-1, 1]."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scaling.errors import InputError
from scaling.network import ROWS_PER_BLOCK, Network
from tests.scaling.policies import a_network

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def rows(n: int, n_features: int = 3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((n, n_features), dtype=np.float32)


def test_two_layers_by_hand():
    hidden = (np.array([[1, 0], [0, 2]], np.float32), np.array([0, 1], np.float32))
    last = (np.array([[0.5, -0.25]], np.float32), np.array([0.125], np.float32))

    answer = Network((hidden, last)).forward(np.array([[0.3, -0.2]], np.float32))

    assert answer == pytest.approx(0.5 * np.tanh(0.3) - 0.25 * np.tanh(2 * -0.2 + 1) + 0.125, abs=1e-7)
    assert answer.dtype == np.float32
    assert answer.shape == (1, 1)


def test_a_network_knows_its_sizes():
    network = a_network(n_features=7, hidden=(6, 5), n_actions=2)

    assert (network.n_features, network.hidden_sizes, network.n_actions) == (7, (6, 5), 2)


@pytest.mark.slow  # for torch's import alone
def test_it_answers_as_torch_does():
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    sizes = (69, 64, 64, 3)
    linears = [torch.nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes)]
    module = torch.nn.Sequential(linears[0], torch.nn.Tanh(), linears[1], torch.nn.Tanh(), linears[2])
    network = Network(tuple((one.weight.detach().numpy(), one.bias.detach().numpy()) for one in linears))
    x = rows(500, 69) * 6 - 3

    with torch.no_grad():
        expected = module(torch.from_numpy(x)).clamp(-1, 1).numpy()

    np.testing.assert_allclose(network.forward(x), expected, atol=2e-6)


@pytest.mark.parametrize("n", [0, 1, ROWS_PER_BLOCK, ROWS_PER_BLOCK + 1, 3 * ROWS_PER_BLOCK + 7])
def test_a_row_is_answered_alone_as_in_any_batch(n: int):
    network = a_network(n_features=20, hidden=(64, 64), n_actions=3)
    x = rows(n, 20)

    together = network.forward(x)

    assert together.shape == (n, 3)
    for k in range(n):
        np.testing.assert_array_equal(network.forward(x[k : k + 1])[0], together[k])


@given(
    weight=arrays(np.float32, (4, 3), elements=FINITE),
    last=arrays(np.float32, (2, 4), elements=FINITE),
    x=arrays(np.float32, (5, 3), elements=FINITE),
)
def test_whatever_the_weights_the_answer_is_between_minus_one_and_one(weight, last, x):
    network = Network(((weight, np.zeros(4, np.float32)), (last, np.zeros(2, np.float32))))

    answer = network.forward(x)

    assert np.all((answer >= -1) & (answer <= 1))  # NaN would fail too


def test_a_row_with_nan_is_answered_with_nan_and_spoils_no_other():
    x = rows(3)
    x[1, 2] = np.nan
    network = a_network()

    answer = network.forward(x)

    assert np.isnan(answer[1]).all()
    np.testing.assert_array_equal(answer[[0, 2]], network.forward(x[[0, 2]]))


def test_weights_that_change_afterwards_change_no_answer():
    weight, bias = np.ones((1, 2), np.float32), np.zeros(1, np.float32)
    network = Network(((weight, bias),))

    weight[:] = 9

    assert network.forward(np.array([[0.25, 0.5]], np.float32)) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="read-only"):
        network.layers[0][0][:] = 9


def layer(outputs: int, inputs: int, dtype: str = "float32", fill: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    return np.full((outputs, inputs), fill, dtype), np.full(outputs, fill, dtype)


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        pytest.param((), "network has 0 layers, expected at least 1", id="no-layers"),
        pytest.param(
            (layer(4, 3), layer(2, 5)), r"layer 1 weight is .*\(2, 5\), expected float32 \(2, 4\)", id="no-chain"
        ),
        pytest.param(
            ((np.ones((2, 3), np.float32), np.ones(3, np.float32)),), r"layer 0 weight .*\(3, 3\)", id="long-bias"
        ),
        pytest.param((layer(2, 3, "float64"),), "layer 0 weight is float64", id="float64"),
        pytest.param((layer(2, 3, ">f4"),), "layer 0 weight is >f4", id="big-endian"),
        pytest.param((layer(0, 3),), "no side of 0", id="empty"),
        pytest.param((layer(2, 3, fill=np.nan),), "layer 0 weight holds nan, expected finite", id="nan"),
        pytest.param((layer(2, 3, fill=-np.inf),), "layer 0 weight holds -inf, expected finite", id="infinite"),
    ],
)
def test_layers_that_are_no_network_are_refused(layers, complaint):
    with pytest.raises(InputError, match=complaint):
        Network(layers)
