"""Links of networks: heavy tails and positive forms, with the mean left as it is."""

import numpy as np
import pytest

from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning import TorchMLPClassifier, TorchMLPRegressor
from sktamm.learning._links import LINKS, link_factors, link_spreads

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

SMALL = {"device": "cpu", "random_state": 0}


def _log_normal(n_rows):
    """ln y is N(3 x, 1): the mean is exp(3 x + 1/2), the median another one."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, n_rows)
    return x[:, None], np.exp(3 * x + rng.normal(size=n_rows))


def test_an_exponential_link_learns_the_mean_not_the_median():
    X, y = _log_normal(20_000)
    model = TorchMLPRegressor((), link="exponential", learning_rate=0.03, **SMALL)
    log_mean = np.log(model.fit(X, y).predict([[0.0], [0.5], [1.0]]))
    # exp(a x + b) is the exact form. Standard errors of the least squares, from the
    # sandwich with the variance (e - 1) mean^2, are 0.066, 0.023, 0.036: five of them.
    # The median is off by 0.5.
    exact, error = np.array([0.5, 2.0, 3.5]), np.array([0.066, 0.023, 0.036])
    assert (np.abs(log_mean - exact) < 5 * error).all()
    assert (log_mean[1:] - exact[1:] > -0.25).all()


def test_an_exponential_link_follows_the_sign_and_spares_others():
    X, y = _log_normal(4000)
    targets = np.column_stack([-y, np.zeros(len(y)), X[:, 0], y])
    model = TorchMLPRegressor((8,), link="exponential", max_epochs=3, **SMALL)
    predicted = model.fit(X, targets).predict(X)
    assert (predicted[:, 0] < 0).all()
    assert (predicted[:, 1] == 0).all()
    assert predicted[:, 2].min() < 0 < predicted[:, 2].max()
    assert (predicted[:, 3] > 0).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_cholesky_link_makes_positive_forms(n):
    rng = np.random.default_rng(n)
    n_outputs = n * (n + 3) // 2
    mean, spread = rng.normal(size=n_outputs), rng.uniform(0.5, 2.0, n_outputs)
    units = link_spreads("cholesky", mean, spread)
    factors = link_factors("cholesky", mean, units, np.ones(n_outputs, dtype=bool))
    z = torch.from_numpy(rng.normal(size=(3, 50, n_outputs)))
    y = units * LINKS["cholesky"](z, z.new_tensor(factors)).numpy()
    i, j = np.triu_indices(n)
    forms = np.ones((3, 50, n + 1, n + 1))
    forms[..., 0, 1:] = forms[..., 1:, 0] = 0.5 * y[..., :n]
    forms[..., i + 1, j + 1] = forms[..., j + 1, i + 1] = 0.5 * y[..., n:]
    assert np.linalg.eigvalsh(forms).min() > 0


def test_the_cholesky_link_starts_at_the_means_and_has_gradients():
    mean, spread = np.array([0.0, 0.0, 4.0, 0.0, 6.0]), np.full(5, 2.0)
    units = link_spreads("cholesky", mean, spread)
    factors = link_factors("cholesky", mean, units, np.ones(5, dtype=bool))
    z = torch.zeros(1, 1, 5, requires_grad=True)
    out = LINKS["cholesky"](z, z.new_tensor(factors))
    np.testing.assert_allclose(units * out.detach().numpy().ravel(), mean, atol=1e-6)
    out.square().sum().backward()
    assert torch.isfinite(z.grad).all()
    assert (z.grad[0, 0, [2, 4]] != 0).all()


def test_an_overflow_of_one_output_leaves_gradients_of_others_finite():
    z = torch.tensor([[0.0, 1e3]], requires_grad=True)
    LINKS["exponential"](z, torch.tensor([1.0, 0.0])).sum().backward()
    assert torch.isfinite(z.grad).all()


def test_a_logistic_loss_learns_soft_labels():
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    soft = np.clip(1 / (1 + np.exp(-x)) + rng.uniform(-0.1, 0.1, x.size), 0, 1)
    model = TorchMLPRegressor((), loss="logistic", learning_rate=0.03, **SMALL)
    predicted = model.fit(x[:, None], soft).predict([[-1.0], [0.0], [1.0]])
    np.testing.assert_allclose(predicted, [0.2689, 0.5, 0.7311], atol=0.01)


@pytest.mark.parametrize("model", [TorchMLPClassifier, TorchMLPRegressor])
def test_groups_are_held_out_together(model, monkeypatch):
    seen = []
    plain = model._split_groups

    def remember(self, groups, stream):
        seen.append((groups, *plain(self, groups, stream)))
        return seen[-1][1:]

    monkeypatch.setattr(model, "_split_groups", remember)
    X = np.random.default_rng(0).normal(size=(400, 1))
    groups = np.repeat([f"event {i}" for i in range(100)], 4)
    y = (X[:, 0] > 0).astype(int)
    model((4,), max_epochs=1, n_members=2, **SMALL).fit(X, y, groups=groups)
    groups, training, held_out = seen[0]
    assert not set(groups[training]) & set(groups[held_out])
    assert (len(held_out), len(training)) == (40, 360)


def test_copies_share_the_bootstrap():
    X = np.random.default_rng(0).normal(size=(40, 1))
    model = TorchMLPRegressor((4,), n_members=3, max_epochs=1, **SMALL)
    rows = model._read_rows(X, X[:, 0], (None, None, np.arange(40) // 2), reset=True)
    weight = model._event_weights(rows, np.random.SeedSequence(0), None)
    np.testing.assert_array_equal(weight[::2], weight[1::2])
    assert len(np.unique(weight)) > 2


def test_refusals():
    X, y = np.zeros((20, 1)), np.linspace(-1, 2, 20)
    with pytest.raises(IncompatibleChoiceError, match="link must be a str among"):
        TorchMLPRegressor(link="probit").fit(X, y)
    with pytest.raises(IncompatibleChoiceError, match="has its own"):
        TorchMLPRegressor(link="exponential", loss="poisson").fit(X, np.abs(y))
    with pytest.raises(InvalidInputError, match="between 0 and 1"):
        TorchMLPRegressor(loss="logistic").fit(X, y)
    with pytest.raises(IncompatibleChoiceError, match="2, 5, 9"):
        TorchMLPRegressor(link="cholesky").fit(X, np.stack([y] * 3, axis=1))
    with pytest.raises(InvalidInputError, match="groups must hold one entry"):
        TorchMLPRegressor().fit(X, y, groups=[1, 2])
