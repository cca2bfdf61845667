"""Warnings and errors of sktamm, one class per kind of trouble to filter by."""

from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning
from sklearn.exceptions import FitFailedWarning as SklearnFitFailedWarning

__all__ = [
    "CheckpointError",
    "ConvergenceWarning",
    "EditedResultWarning",
    "EmptyBinWarning",
    "ExchangeabilityWarning",
    "FeatureWarning",
    "FitFailedWarning",
    "IncompatibleChoiceError",
    "InvalidInputError",
    "InvalidParameterError",
    "ModelVersionWarning",
    "OverlapWarning",
    "RangeWarning",
    "RatioWarning",
    "SamplingWarning",
    "SingleSimulationWarning",
    "SktammWarning",
    "SpanWarning",
    "SparseTemplateWarning",
    "VarianceWarning",
    "WeightWarning",
]


class SktammWarning(UserWarning):
    """Base class of every warning that sktamm issues."""


class EditedResultWarning(SktammWarning):
    """A result was read from a file that somebody changed after sktamm wrote it."""


class EmptyBinWarning(SktammWarning):
    """The target fills bins that no simulation does; the nearest bins got them."""


class ExchangeabilityWarning(SktammWarning):
    """Simulations of a class are hardly draws of one kind, as the priors take them.

    One stands apart from the others, or two are nearer to each other, than draws of a
    normal distribution are likely to be: in one of a hundred sets at most if they are
    such draws, whatever their covariance. Draws of heavier tails warn more often.
    """


class FeatureWarning(SktammWarning):
    """A feature looks like bookkeeping, not physics: a weight, a number of the event.

    Such a column tells simulations from data, or classes from each other, by itself,
    and the fraction follows it. Leave it out; filter this class where it is physics.
    """


class ModelVersionWarning(SktammWarning):
    """A model was saved by another version of sktamm and may answer differently."""


class SingleSimulationWarning(SktammWarning):
    """A class has one simulation, so nothing of it can adapt: the classical fit."""


class OverlapWarning(SktammWarning):
    """Simulations of a class overlap too little to bend a product of their densities.

    Their weighted product is empty wherever one of them is, so that the exponential
    form rests on few events or bins. Use the linear form, or a learned score.
    """


class RangeWarning(SktammWarning):
    """Edges of bins suit most events badly, or a target leaves them or the support.

    Issued when simulated events have placeholders for missing values, when one bin
    holds most of a feature, and when more events of a dataset lie beyond the edges, or
    the support, than in the simulations.
    """


class RatioWarning(SktammWarning):
    """Learned ratios or their reference sample limit the measurement."""


class SpanWarning(SktammWarning):
    """The simulations do not span the target: its mixture cannot be made of them.

    Issued when the p-value "span" of one of n datasets is below 0.001/n. With binned
    data that is about one false alarm in a thousand calls, if the truth is one more
    simulation (exponential form) or a blend drawn from the prior (linear form, whose
    hull one more simulation often leaves; the alarm is then right). Unbinned, the
    noise of the reference sample is counted, errors of the training are not.
    """


class VarianceWarning(SktammWarning):
    """The variances of a histogram are unknown; its contents were taken for counts."""


class SparseTemplateWarning(SktammWarning):
    """Templates of so few events per bin that kappa may be biased beyond its error."""


class WeightWarning(SktammWarning):
    """Weights were changed to stay usable, for example a negative bin content."""


class ConvergenceWarning(SktammWarning, SklearnConvergenceWarning):
    """A fit stopped before it converged, or ended in a singular point."""


class FitFailedWarning(SktammWarning, SklearnFitFailedWarning):
    """Some fits of a study failed; they are kept, with their reason, as misses."""


class SamplingWarning(SktammWarning):
    """Posterior draws, or Laplace's integrals in their place, are not good enough."""


class InvalidInputError(ValueError):
    """Input that no method here can use; the message names argument, rule and value."""


class IncompatibleChoiceError(ValueError):
    """A combination of components, form, prior and inference that has no meaning."""


class InvalidParameterError(InvalidInputError, IncompatibleChoiceError):
    """A parameter of an estimator is outside of what it allows."""


class CheckpointError(RuntimeError):
    """A file of a study cannot be written, read or resumed; the message names it."""
