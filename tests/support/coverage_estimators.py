"""Estimators whose coverage is known, importable by the workers of the tests."""

import os
import signal
import time
from pathlib import Path

import joblib
import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator


class NormalFraction(BaseEstimator):
    """Exact intervals for events that are 1 (signal) or 0, scaled on request.

    kappa is the mean, its variance kappa (1 - kappa) / n at the truth, so intervals are
    exact up to the discreteness of the counts.
    """

    def __init__(
        self, scale=1.0, fail_on=None, kill=None, pause=0.0, log=None, hold=None
    ):
        self.scale = scale
        self.fail_on = fail_on
        self.kill = kill
        self.pause = pause
        self.log = log
        self.hold = hold

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(
        self, X, *, dataset=None, return_std=False, return_interval=None, **others
    ):
        time.sleep(self.pause)
        while self.hold is not None and Path(self.hold).exists():
            time.sleep(0.01)
        self._die_once()
        events = np.asarray(X)[:, 0]
        if np.ndim(dataset) == 1:
            dataset = np.asarray(dataset)[:, None] == np.unique(dataset)
        n = np.asarray(dataset.sum(axis=0), dtype=float).ravel()
        kappa = np.asarray(dataset.T @ events).ravel() / n
        self._note(kappa, dataset)
        if self.fail_on is not None and self.fail_on(kappa).any():
            raise ValueError("no minimum was found\nand more of that")
        std = np.sqrt(np.maximum(kappa * (1.0 - kappa), 1.0 / n) / n)
        z = stats.norm.ppf(0.5 + 0.5 * np.asarray(return_interval))
        half = self.scale * std[:, None] * z
        interval = np.stack([kappa[:, None] - half, kappa[:, None] + half], axis=1)
        return kappa, std, interval

    def _note(self, kappa, dataset):
        """Add a line: process, number of datasets, and what tells them from others."""
        if self.log is None:
            return
        name = joblib.hash((kappa, dataset.tocoo().coords))
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()} {kappa.size} {name}\n")

    def _die_once(self):
        """Kill the process that comes here first, as a broken machine would."""
        if self.kill is None:
            return
        try:
            Path(self.kill).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class Nested(NormalFraction):
    """Tells how many workers a fit would use of its own."""

    def predict(self, X, **keywords):
        _, _, interval = super().predict(X, **keywords)
        n_jobs = np.full(len(interval), float(joblib.effective_n_jobs(-1)))
        return n_jobs, n_jobs, interval


class NormalMean(BaseEstimator):
    """The mean of normal events of unit width with its exact interval, scaled."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def predict(
        self, X, *, dataset=None, return_std=False, return_interval=None, **others
    ):
        _, code = np.unique(dataset, return_inverse=True)
        n = np.bincount(code)
        kappa = np.bincount(code, weights=np.asarray(X)[:, 0]) / n
        std = 1.0 / np.sqrt(n)
        z = stats.norm.ppf(0.5 + 0.5 * np.asarray(return_interval))
        half = self.scale * std[:, None] * z
        interval = np.stack([kappa[:, None] - half, kappa[:, None] + half], axis=1)
        return kappa, std, interval


def high(kappa):
    return kappa > 0.33


def normal_events(theta, size, rng):
    return rng.normal(theta, 1.0, (size, 1))


def labelled_events(n_events=4000, seed=0):
    y = (np.arange(n_events) % 2).astype(int)
    noise = np.random.default_rng(seed).normal(size=n_events)
    return np.column_stack([y.astype(float), noise]), y


def equal(a, b):
    """Same numbers bit for bit; wall times aside."""
    frames = [r.to_frame().drop(columns="seconds") for r in (a, b)]
    return frames[0].equals(frames[1])
