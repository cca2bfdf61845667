"""Di-Higgs: jets whose energy scale every simulation has wrong, one way or another."""

import numpy as np
from cases import KAPPAS, Case, Study

from sktamm.datasets import make_dihiggs

SIMULATIONS = 6


def _study(features, shared):
    def case(rng, size) -> Case:
        choices = {"features": features, "shared_scale": shared}
        seed = int(rng.integers(2**31))
        study = make_dihiggs(
            SIMULATIONS,
            size.simulated,
            n_target=10,
            target_scale="drawn",
            random_state=seed,
            **choices,
        )
        truth = study.target_scale

        def again(n, kappa):
            return make_dihiggs(
                1,
                1,
                kappa,
                n,
                target_scale=truth,
                random_state=int(rng.integers(2**31)),
                **choices,
            )

        targets = []
        for kappa in KAPPAS:
            own = again(size.target, kappa)
            targets.append((own.X_target, own.kappa))
        parts = [again(size.simulated, kappa).X_target for kappa in (1e-9, 1 - 1e-9)]
        right = np.concatenate(parts), np.repeat([0, 1], size.simulated)
        return Case(study.X, study.y, study.simulation, targets, right)

    what = "2 masses" if features == "masses" else "10 features"
    scales = "one scale" if shared else "a scale per class"
    n_features = 2 if features == "masses" else 10
    return Study(
        f"di-Higgs, {what}, {scales}",
        case,
        n_features,
        sealed=features == "full",
        seal=1 if shared else 2,
    )


STUDIES = [
    _study(features, shared)
    for features in ("masses", "full")
    for shared in (True, False)
]
