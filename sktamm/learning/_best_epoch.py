"""The weights of the best epoch."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["BestWeights"]


class BestWeights:
    """Weights (n_members, n_parameters) of each member at its best epoch so far.

    The last one whose loss exceeds the least by no more than the standard error of the
    difference on the same events (Breiman et al. 1984), copies being one term.
    """

    def __init__(self, leaf: Tensor, patience: int) -> None:
        n_members, device = len(leaf), leaf.device
        self.parameters = leaf.detach().clone()
        self.least = torch.full((n_members,), math.inf, device=device).double()
        self.epoch = torch.zeros(n_members, dtype=torch.int64, device=device)
        self.stopped = torch.zeros(n_members, dtype=torch.bool, device=device)
        self.patience = patience
        self.units: Tensor | None = None

    @property
    def finished(self) -> bool:
        """Whether every member has run out of patience."""
        return bool(self.stopped.all())

    def judge_by(self, weight: Tensor, units: NDArray[np.int64] | None) -> None:
        """Take the held-out rows: weights (n_rows, n_members), ids of units."""
        share = weight.t().expand(len(self.parameters), -1).double()
        self.share = (share / share.sum(dim=1, keepdim=True)).float()
        self.losses = torch.zeros_like(self.share)  # of the rows, in the least one
        if units is not None:
            _, codes = np.unique(units, return_inverse=True)
            self.units = torch.from_numpy(codes).to(weight.device)
            self.n_units = int(codes.max()) + 1

    def update(self, leaf: Tensor, losses: Tensor, epoch: int) -> Tensor:
        """Take over members that are as good as ever; returns their mean losses."""
        mean = (self.share * losses).sum(dim=1, dtype=torch.float64)
        error = self._error_of_mean(losses - self.losses)
        less = (mean < self.least) & ~self.stopped
        good = (less | (mean <= self.least + error)) & ~self.stopped
        self.least = torch.where(less, mean, self.least)
        self.losses = torch.where(less[:, None], losses, self.losses)
        self.parameters = torch.where(good[:, None], leaf.detach(), self.parameters)
        self.epoch[good] = epoch
        self.stopped |= epoch - self.epoch >= self.patience
        return mean

    def take_last(self, leaf: Tensor, epoch: int) -> None:
        """Take over all members: without held-out rows the last weights count."""
        self.parameters = leaf.detach()
        self.epoch[:] = epoch

    def _error_of_mean(self, values: Tensor) -> Tensor:
        """Standard errors of the weighted means of rows."""
        terms = values * self.share
        terms -= self.share * terms.sum(dim=1, keepdim=True)
        if self.units is not None:
            empty = terms.new_zeros((len(terms), self.n_units))
            terms = empty.index_add_(1, self.units, terms)
        return terms.square().sum(dim=1).sqrt()
