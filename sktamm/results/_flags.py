"""What every flag of a result means, and what to do about it."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["FLAGS", "flag_meaning"]

#: Sentences for every flag: what it means, what to do.
FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "not_converged": (
            "The fit stopped before it reached its optimum, so estimate and error may "
            "be off. Use fewer bins, features or topics, or another prior."
        ),
        "singular": (
            "The data leave a direction of the fit undetermined, so the error is not "
            "to be trusted. Use an informative prior, fewer components or more events."
        ),
        "at_boundary": (
            "The estimate lies at, or within its error of, 0 or 1, where intervals are "
            "one-sided. Quote the interval or a limit, not the error."
        ),
        "bad_fit": (
            "No blend of the simulations describes the data (p-value below 0.001, or a "
            "blend that the prior excludes), so the fraction may be off by more than "
            "its interval. Look at the pulls; add simulations, or leave out what they "
            "miss."
        ),
        "in_tension": (
            "The blend that fits the data is unlikely under its prior (p-value below "
            "0.001): the truth is not of the simulations' kind. Add simulations that "
            "vary what is missing, or widen the prior."
        ),
        "out_of_range": (
            "More events lie beyond the bins, or the simulated events, than were "
            "simulated there. Check units and missing values, or choose range and flow."
        ),
        "empty_bins": (
            "Events lie in bins that every simulation leaves empty and were counted in "
            "the nearest filled ones. Use wider bins or more simulated events."
        ),
        "sparse_templates": (
            "The templates rest on so few simulated events per bin that the fraction "
            "may be biased beyond its interval. Use bins='auto', fewer features or "
            "more simulated events."
        ),
        "not_exchangeable": (
            "A simulation stands apart from the others, or two are nearly alike, while "
            "the prior takes them for draws of one kind. Declare families, or leave "
            "out near-duplicates and see what sets the odd one apart."
        ),
        "little_overlap": (
            "The simulations of a class hardly overlap, so that a product of their "
            "densities is nearly empty. Use form='linear' or a learned score."
        ),
        "unphysical": (
            "The estimate lies far outside of 0 to 1: the components cannot be told "
            "apart or do not describe the data. Do not quote it."
        ),
        "poor_reference": (
            "Few reference events carry the adapted densities, so that the ratios are "
            "extrapolated. Use more simulated events."
        ),
        "uncertain_ratios": (
            "Most of the error comes from training the ratios. Use more simulated "
            "events or more members of the ensemble."
        ),
        "poor_sampling": (
            "The chains of the posterior have not mixed or are too short. Raise "
            "max_draws."
        ),
        "rough_integral": (
            "Laplace's approximation of the posterior may shift or stretch it by more "
            "than a seventh of the error. Use BayesianInference(method='hmc')."
        ),
    }
)


def flag_meaning(name: str) -> str:
    """What a flag means and what to do, in plain sentences.

    Parameters
    ----------
    name : str
        Flag, an entry of ``result.flags[i]``.

    Returns
    -------
    meaning : str
        Of a flag that is not sktamm's own: that its estimator has to explain it.

    Examples
    --------
    >>> from sktamm.results import flag_meaning
    >>> flag_meaning("poor_sampling").split(". ")[1]
    'Raise max_draws.'
    """
    return FLAGS.get(name, "A flag of the estimator itself; see its documentation.")
