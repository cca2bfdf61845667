"""Frequentist neural estimation of arXiv:2604.02219 in plain torch.

Written from the formulas of the paper, without its code and without sktamm. Ratios: a
softmax over all sources by four bootstrapped perceptrons d-64-64-64-n, whose outputs
are blended for every source by a convex fit to held-out events (arXiv:2506.00113).
Fraction: with R = exp(sum_k w_k ln r_k) of a class, sum_k w_k = 1, and

    q = kappa c_s R_s + (1 - kappa) c_b R_b

the minimum over kappa, c_s, c_b and the weights of

    - sum_data ln q + (n / m) sum_ref (q - 1) + (n / 2) (c_b <R_b> - c_s <R_s>)^2
    + (|w - 1/K|^2 + |v - 1/K|^2) / 2

for n events of the target and m of the reference, with the sandwich covariance, in
which the ridge is no data. Two departures: training ends with the best epoch, not the
last, and the fit starts at kappa = .5, not at the truth.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from peers.intervals import of_error
from peers.peer import Peer

N_MEMBERS = 4
WIDTH, SLOPE, RATE, BATCH, EPOCHS, PATIENCE = 64, 0.2, 1e-3, 4096, 100, 10
HELD_OUT = 0.1
CLIP = 20.0  # of log ratios of one member: exp(-F) of the blend must not overflow


# -------------------------------------------------------------------------- ratios
def train_ratios(X, source, n_members=None, seed=0):
    """Function of events: log ratios to the equal mixture of all, (n, n_sources).

    ``source`` (n,) counts the sources from 0; all have about as many events.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    mean, width = X.mean(axis=0), X.std(axis=0)
    width = np.where(width > 0, width, 1.0)

    def tensor(X):
        return torch.tensor((X - mean) / width, dtype=torch.float32)

    order = rng.permutation(len(X))
    n_held = round(HELD_OUT * len(X))
    held, rest = order[:n_held], order[n_held:]
    label = torch.tensor(source)
    held_out = tensor(X[held]), label[held]
    members = []
    for _ in range(n_members or N_MEMBERS):
        drawn = rng.choice(rest, len(rest))
        members.append(_trained(tensor(X[drawn]), label[drawn], held_out, rng))
    own = _log_ratios(members, held_out[0])
    blend = _blended(own, source[held])

    def log_ratio(X):
        return _blend(_log_ratios(members, tensor(X)), blend)

    return log_ratio


def network(n_features, n_sources):
    """Perceptron of three hidden layers."""
    layers, size = [], n_features
    for _ in range(3):
        layers += [nn.Linear(size, WIDTH), nn.LeakyReLU(SLOPE)]
        size = WIDTH
    return nn.Sequential(*layers, nn.Linear(size, n_sources))


def _trained(X, label, held_out, rng):
    """One member, stopped early."""
    model = network(X.shape[1], int(held_out[1].max()) + 1)
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    loss = nn.CrossEntropyLoss()
    best, state, since = np.inf, None, 0
    for _ in range(EPOCHS):
        for rows in torch.tensor(rng.permutation(len(X))).split(BATCH):
            optimiser.zero_grad()
            loss(model(X[rows]), label[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            value = loss(model(held_out[0]), held_out[1]).item()
        since += 1
        if value < best:
            best, since = value, 0
            state = {k: v.clone() for k, v in model.state_dict().items()}
        if since == PATIENCE:
            break
    model.load_state_dict(state)
    return model


def _log_ratios(members, X):
    """Of every member, (n_members, n, n_sources)."""
    out = []
    with torch.no_grad():
        for model in members:
            logit = model(X).double()
            size = torch.logsumexp(logit, 1, keepdim=True) - np.log(logit.shape[1])
            out.append((logit - size).clamp(-CLIP, CLIP))
    return torch.stack(out).numpy()


def _blended(own, source):
    """Coefficients of the members and a constant, (n_sources, n_members + 1)."""
    n_members, _, n_sources = own.shape
    found = []
    for k in range(n_sources):
        f = np.vstack([own[:, :, k], np.ones(own.shape[1])]).T
        found.append(_maximum_likelihood_classifier(f[source == k], f, n_members))
    return np.array(found)


def _maximum_likelihood_classifier(num, den, n_members):
    """Newton's minimum of E_num[e^-F - F] + E_den[e^F + F] with F = f a."""
    a = np.append(np.full(n_members, 1.0 / n_members), 0.0)

    def loss(a):
        F, G = num @ a, den @ a
        return (np.exp(-F) - F).mean() + (np.exp(G) + G).mean()

    for _ in range(50):
        p, q = np.exp(-(num @ a)), np.exp(den @ a)
        gradient = -(num.T @ (1.0 + p)) / len(num) + den.T @ (1.0 + q) / len(den)
        hessian = (num.T * p) @ num / len(num) + (den.T * q) @ den / len(den)
        # The members nearly agree: a little ridge keeps their differences finite.
        step = np.linalg.solve(hessian + 1e-6 * np.eye(len(a)), gradient)
        size = 1.0
        while loss(a - size * step) > loss(a) and size > 1e-6:
            size *= 0.5
        a = a - size * step
        if np.abs(size * step).max() < 1e-8:
            break
    return a


def _blend(own, blend):
    """Log ratios of the ensemble, (n, n_sources)."""
    n = len(own)
    return np.einsum("iek,ki->ek", own, blend[:, :n]) + blend[:, n]


# ------------------------------------------------------------------------ fraction
@dataclass
class Fraction:
    """Fraction, its error, all parameters, and whether the fit converged."""

    kappa: float
    std: float
    theta: np.ndarray
    converged: bool


def fit(target, reference, is_signal, n_iterations=500):
    """Fraction of the signal from log ratios, (n, 2 K) and (m, 2 K)."""
    data, ref = (_of_classes(v, is_signal) for v in (target, reference))
    theta = _start(ref)
    theta.requires_grad_()
    optimiser = torch.optim.LBFGS(
        [theta],
        max_iter=n_iterations,
        tolerance_grad=1e-6 * len(target),
        tolerance_change=1e-12,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimiser.zero_grad()
        value = objective(theta, data, ref)
        value.backward()
        return value

    optimiser.step(closure)
    found, slope = theta.detach(), theta.grad
    variance = float(_sandwich(found, data, ref)[0, 0])
    good = variance > 0 and float(slope.abs().max()) < 1e-3 * len(target)
    return Fraction(
        float(found[0]), np.sqrt(variance) if good else 1.0, found.numpy(), good
    )


def objective(theta, data, ref):
    """What is minimised; the parameters are kappa, ln c_s, ln c_b and the weights.

    Weights are w = 1/K + C u with orthonormal contrasts C, so |w - 1/K| = |u|.
    """
    n, m = len(data[0][0]), len(ref[0][0])
    kappa = theta[0]
    s, b = _densities(theta, data)
    q = kappa * s + (1.0 - kappa) * b
    s, b = _densities(theta, ref)
    normalised = (kappa * s + (1.0 - kappa) * b - 1.0).sum()
    return (
        -torch.log(q.clamp_min(1e-12)).sum()
        + n / m * normalised
        + 0.5 * n * (b.mean() - s.mean()) ** 2
        + 0.5 * (theta[3:] ** 2).sum()
    )


def _of_classes(log_ratio, is_signal):
    """Mean log ratio and its contrasts, of signal and background."""
    out = []
    for chosen in (is_signal, ~is_signal):
        own = torch.tensor(log_ratio[:, chosen], dtype=torch.double)
        contrasts = torch.tensor(_contrasts(own.shape[1]))
        out.append((own.mean(dim=1), own @ contrasts))
    return out


def _contrasts(k):
    """Orthonormal columns (k, k - 1) that sum to zero."""
    centred = np.eye(k)[:, : k - 1] - 1.0 / k
    return np.linalg.qr(centred)[0]


def _densities(theta, rows):
    """c_s R_s and c_b R_b at the rows."""
    n_signal = rows[0][1].shape[1]
    weights = theta[3 : 3 + n_signal], theta[3 + n_signal :]
    return [
        torch.exp(theta[1 + c] + rows[c][0] + rows[c][1] @ weights[c]) for c in (0, 1)
    ]


def _start(ref):
    """Half signal, equal weights, normalised densities."""
    n_weights = sum(contrasts.shape[1] for _, contrasts in ref)
    theta = torch.zeros(3 + n_weights, dtype=torch.double)
    theta[0] = 0.5
    for c, (mean, _) in enumerate(ref):
        theta[1 + c] = np.log(len(mean)) - torch.logsumexp(mean, 0)
    return theta


def _sandwich(theta, data, ref):
    """A^-1 B A^-1, B of the scores of the events of the target and the reference."""
    n, m = len(data[0][0]), len(ref[0][0])
    A = torch.autograd.functional.hessian(lambda t: objective(t, data, ref), theta)
    q, slopes, _, _ = _slopes(theta, data)
    B = _scatter(slopes / q[:, None])
    _, slopes, d, d_slopes = _slopes(theta, ref)
    gap, gap_slope = d.mean(), d_slopes.mean(dim=0)
    constraint = d[:, None] * gap_slope + gap * d_slopes
    B += _scatter(n / m * (slopes + constraint))
    inverse = torch.linalg.pinv(A, hermitian=True)
    return inverse @ B @ inverse


def _scatter(scores):
    centred = scores - scores.mean(dim=0)
    return centred.T @ centred


def _slopes(theta, rows):
    """q and d = c_b R_b - c_s R_s at the rows, with derivatives (n, n_parameters)."""
    kappa = theta[0]
    s, b = _densities(theta, rows)
    zero = torch.zeros_like(s)[:, None]
    own_s, own_b = s[:, None] * rows[0][1], b[:, None] * rows[1][1]
    s_, b_ = s[:, None], b[:, None]
    q_slopes = [s_ - b_, kappa * s_, (1 - kappa) * b_, kappa * own_s]
    q_slopes = torch.cat([*q_slopes, (1 - kappa) * own_b], dim=1)
    d_slopes = torch.cat([zero, -s_, b_, -own_s, own_b], dim=1)
    return kappa * s + (1 - kappa) * b, q_slopes, b - s, d_slopes


# ----------------------------------------------------------------------------- row
def answers(study, case, levels):
    """Fractions of all targets."""
    X = np.asarray(case.X, float)
    keys = [(c, k) for c in np.unique(case.y) for k in np.unique(case.simulation)]
    keys = [key for key in keys if _rows(case, key).any()]
    source = np.zeros(len(X), dtype=int)
    for number, key in enumerate(keys):
        source[_rows(case, key)] = number
    is_signal = np.array([c == keys[-1][0] for c, _ in keys])
    log_ratio = train_ratios(X, source)
    reference = log_ratio(X[_evenly(source)])
    found = [
        fit(log_ratio(np.asarray(own, float)), reference, is_signal)
        for own, _ in case.targets
    ]
    return of_error([(f.kappa, f.std, f.converged) for f in found], levels)


def _rows(case, key):
    return (case.y == key[0]) & (case.simulation == key[1])


def _evenly(source):
    """Rows with as many events of every source: the equal mixture."""
    fewest = np.bincount(source).min()
    rows = [np.flatnonzero(source == k)[:fewest] for k in np.unique(source)]
    return np.concatenate(rows)


PEER = Peer(lambda study, case: study.n_features > 0, answers)
