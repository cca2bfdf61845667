"""NumPyro's NUTS on the linear model of all templates as they are.

kappa ~ U(0, 1), weights of the simulations of each class ~ Dirichlet(1), contents of
the bins multinomial with the blended shapes: what a Bayesian writes down in ten lines.
"""

from functools import cache
from importlib.util import find_spec

import numpy as np

from peers.histograms import histograms
from peers.intervals import of_draws
from peers.peer import Peer

N_WARMUP, N_DRAWS = 300, 500  # ends are right to .1 errors
#: R-hat above it is said.
LARGEST_R_HAT = 1.05


def _model(shapes, n_background, content):
    import numpyro
    from jax import numpy as jnp
    from numpyro import distributions as dist

    kappa = numpyro.sample("kappa", dist.Uniform(0.0, 1.0))
    blends = []
    for name, own in (("b", shapes[:n_background]), ("s", shapes[n_background:])):
        one = jnp.ones(len(own))
        blends.append(numpyro.sample(name, dist.Dirichlet(one)) @ own)
    mean = (1.0 - kappa) * blends[0] + kappa * blends[1]
    numpyro.factor("data", content @ jnp.log(mean + 1e-12))


@cache
def _chain(n_background):
    from numpyro.infer import NUTS

    def model(shapes, content):
        return _model(shapes, n_background, content)

    return compiled(NUTS(model), N_WARMUP, N_DRAWS)


def compiled(kernel, n_warmup, n_draws):
    """One chain as a compiled function of a key and the data: draws by parameter.

    ``MCMC.run`` compiles again for every dataset.
    """
    import jax

    def chain(key, *data):
        def step(state, _):
            state = kernel.sample(state, data, {})
            return state, state.z

        start = kernel.init(key, n_warmup, None, data, {})
        _, found = jax.lax.scan(step, start, length=n_warmup + n_draws)
        draws = jax.vmap(kernel.postprocess_fn(data, {}))(found)
        return {name: own[n_warmup:] for name, own in draws.items()}

    return jax.jit(chain)


def draws_of(content, shapes, n_background):
    """Draws of kappa, and what they suffer from."""
    import jax
    from numpyro.diagnostics import split_gelman_rubin

    jax.config.update("jax_enable_x64", True)
    data = np.asarray(shapes), np.asarray(content, float)
    kappa = np.asarray(_chain(n_background)(jax.random.PRNGKey(0), *data)["kappa"])
    mixed = split_gelman_rubin(kappa[None]) < LARGEST_R_HAT
    return kappa, [] if mixed else ["not_converged"]


def answers(study, case, levels):
    """Posteriors of all targets."""
    seen = histograms(study, case)
    n = len(seen.background)
    found = [draws_of(own, seen.shapes, n) for own in seen.targets]
    draws, flags = zip(*found, strict=True)
    return of_draws(np.array(draws), levels, list(flags)) | {
        "shared_seconds": seen.seconds
    }


PEER = Peer(lambda study, case: True, answers, lambda: bool(find_spec("numpyro")))
