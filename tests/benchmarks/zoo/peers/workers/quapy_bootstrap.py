"""EMQ, KDEy-ML and ACC of QuaPy 0.2.3 on pooled simulations, with a bootstrap.

`AggregativeBootstrap` is written for this: it resamples the events of the training
sample, classified once in five folds, and those of the bag. With more than one training
resample it fails in this version (`sampling_from_index` of an array), so its loop is
repeated here around QuaPy's own aggregations. It resamples events, not simulations.
"""

import time

import numpy as np
from answering import serve
from quapy.method.aggregative import ACC, EMQ, KDEyML
from quapy.method.confidence import WithConfidenceABC
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

N_TRAIN, N_BAG = 4, 25  # resamples of the training sample, of the bag for each
GRID = np.linspace(0.0, 1.0, 201)


class FastKDEyML(KDEyML):
    """KDEy-ML whose densities are read off a fine grid: bandwidths are .1."""

    def aggregation_fit(self, classif_predictions, labels):
        """Densities of the posterior of the last class on the grid."""
        super().aggregation_fit(classif_predictions, labels)
        points = np.stack([1.0 - GRID, GRID], axis=1)
        self.mix_densities = [
            np.exp(own.score_samples(points)) for own in self.mix_densities
        ]
        return self

    def pdf(self, kde, X, kernel, log_densities=False):
        """Density by interpolation."""
        return np.interp(X[:, 1], GRID, kde)


def classifier_of(n_features):
    """Splines in one feature, boosted trees in more."""
    if n_features == 1:
        return make_pipeline(
            SplineTransformer(n_knots=12, extrapolation="constant"),
            LogisticRegression(max_iter=1000),
        )
    return HistGradientBoostingClassifier(random_state=0)


def classified(question):
    """Trained classifier, and posteriors of the training sample in five folds."""
    X, y = question["X"], question["y"]
    order = np.random.default_rng(0).permutation(len(y))  # folds have all simulations
    X, y = X[order], y[order]
    classifier = classifier_of(X.shape[1])
    P = cross_val_predict(classifier, X, y, cv=5, method="predict_proba")
    return classifier.fit(X, y), P, y


def make(method, classifier):
    """A quantifier around a trained classifier, and whether it takes hard labels."""
    if method == "EMQ":
        own = EMQ.EMQ_BCTS(classifier, fit_classifier=False, val_split=None)
        own.train_prevalence = np.array([0.5, 0.5])
        return own, False
    if method == "KDEy-ML":
        return FastKDEyML(classifier, fit_classifier=False, val_split=None), False
    own = ACC(classifier, fit_classifier=False, val_split=None, solver="exact-cc")
    return own, True


def resampled(method, trained, bags, rng):
    """Fractions of the last class (n_bags, N_TRAIN * N_BAG)."""
    classifier, P, y = trained
    posteriors = [classifier.predict_proba(bag) for bag in bags]
    found = [[] for _ in bags]
    for _ in range(N_TRAIN):
        quantifier, hard = make(method, classifier)
        rows = rng.integers(0, len(y), len(y))
        see = (lambda p: classifier.classes_[p.argmax(1)]) if hard else (lambda p: p)
        quantifier.aggregation_fit(see(P[rows]), y[rows])
        for own, posterior in zip(found, posteriors, strict=True):
            for _ in range(N_BAG):
                events = rng.integers(0, len(posterior), len(posterior))
                own.append(quantifier.aggregate(see(posterior[events])))
    return np.array(found)


_LAST = {}


def shared(question):
    """What the methods share, of the last case, with the seconds that it took."""
    key = question["X"].tobytes()
    if _LAST.get("key") == key:
        return _LAST["value"]
    start = time.perf_counter()
    trained = classified(question)
    _LAST.update(key=key, value=(trained, time.perf_counter() - start))
    return trained, 0.0


def respond(question):
    """Fractions and intervals of all bags by one method."""
    trained, paid = shared(question)
    bags = [question[f"bag{i}"] for i in range(int(question["n_bags"]))]
    rng = np.random.default_rng(0)
    draws = resampled(str(question["method"]), trained, bags, rng)
    intervals = []
    for own in draws:
        regions = [
            WithConfidenceABC.construct_region(own, float(level), "intervals", False)
            for level in question["levels"]
        ]
        ends = [[float(r.I_low[-1]), float(r.I_high[-1])] for r in regions]
        intervals.append(np.transpose(ends).tolist())
    return {
        "kappa": draws[:, :, -1].mean(axis=1).tolist(),
        "interval": intervals,
        "flags": [[]] * len(bags),
        "shared_seconds": paid,
    }


if __name__ == "__main__":
    serve(respond)
