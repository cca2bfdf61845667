"""Documents of HS3: valid for pyhs3, which finds the likelihood of pyhf in them."""

import json

import numpy as np
import pytest

from sktamm import TAMMRegressor
from sktamm.components import TemplateComponents
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError
from sktamm.exports import to_hs3, to_pyhf

# pyhf 0.7 asks jsonschema for a class that goes
pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver")


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=4,
        n_events=4000,
        n_signal=4000,
        n_background=16_000,
        random_state=3,
    )


def fitted(study, template_errors, inference="frequentist"):
    components = TemplateComponents(bins=4, template_errors=template_errors)
    tamm = TAMMRegressor(components, prior="simulations", inference=inference)
    return tamm.fit(study.X, study.y, simulation=study.simulation)


def test_every_parameter_has_a_value_and_a_domain(study):
    document = to_hs3(fitted(study, True), study.X_target)
    used = {
        name
        for sample in document["distributions"][0]["samples"]
        for modifier in sample["modifiers"]
        for name in modifier.get("parameters", [modifier.get("parameter")])
    }
    points = {
        p["name"]: p["value"] for p in document["parameter_points"][0]["parameters"]
    }
    ends = {a["name"]: (a["min"], a["max"]) for a in document["domains"][0]["axes"]}
    assert used == set(points) == set(ends)
    assert all(ends[n][0] < value < ends[n][1] for n, value in points.items())


def points_of(model, workspace, centres, n):
    """Parameters as an array of pyhf and by their names in HS3, drawn about the start.

    A direction of HS3 is counted from where the prior is largest.
    """
    rng = np.random.default_rng(0)
    for _ in range(n):
        values = np.array(model.config.suggested_init())
        named = {}
        for name in model.config.par_order:
            place = model.config.par_slice(name)
            width = 0.5 if name in centres else 0.03
            values[place] += width * rng.normal(size=place.stop - place.start)
            if name == "templates":
                named |= {f"templates_{i}": v for i, v in enumerate(values[place])}
            else:
                named[name] = values[place][0] - centres.get(name, 0.0)
        yield values, named


@pytest.mark.filterwarnings("ignore")  # pyhs3 compiles with what is deprecated
@pytest.mark.parametrize(
    "template_errors", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_pyhs3_finds_the_likelihood_of_pyhf(template_errors, study):
    """All terms, at four points.

    The model that pyhs3 0.4.2 builds of a document knows no ``staterror``; the
    distribution in it does.
    """
    pyhf, pyhs3 = pytest.importorskip("pyhf"), pytest.importorskip("pyhs3")
    tamm = fitted(study, template_errors)
    document = json.loads(json.dumps(to_hs3(tamm, study.X_target)))
    workspace = to_pyhf(tamm, study.X_target)
    model = pyhf.Workspace(workspace).model()
    data = pyhf.Workspace(workspace).data(model)
    settings = workspace["measurements"][0]["config"]["parameters"]
    centres = {p["name"]: p["auxdata"][0] for p in settings if "auxdata" in p}
    assert max(map(abs, centres.values())) > 0.3
    found = pyhs3.Workspace(**document)
    evaluate = of_distribution(found, document)
    if not template_errors:
        evaluate = of_model(found)
    for values, named in points_of(model, workspace, centres, 4):
        expected = float(model.logpdf(values, data)[0])
        assert evaluate(named) == pytest.approx(expected, abs=1e-6)


def of_model(workspace):
    """Log likelihood of the analysis, as pyhs3 compiles it."""
    import pytensor
    from pytensor.graph.traversal import explicit_graph_inputs

    whole = workspace.model(workspace.analyses["kappa"], progress=False).log_prob
    inputs = list(explicit_graph_inputs([whole]))
    function = pytensor.function(inputs, whole)
    return lambda named: float(function(*[named[i.name] for i in inputs]))


def of_distribution(workspace, document):
    """The same of the only distribution and its constraints, term by term."""
    import pytensor.tensor as pt
    from pyhs3.context import Context

    channel = workspace.distributions["adapted"]

    def evaluate(named):
        known = {name: pt.constant(float(v)) for name, v in named.items()}
        observed = np.array(document["data"][0]["contents"])
        known["adapted_observed"] = pt.constant(observed)
        for node in channel.get_internal_nodes():
            known[node.name] = node.expression(Context(known))
        context = Context(known)
        parts = channel.likelihood(context), channel.extended_likelihood(context)
        return sum(float(pt.log(part).eval()) for part in parts)

    return evaluate


def test_contents_far_from_the_prior_are_refused(monkeypatch, study):
    """A linear model that is negative where the prior is largest."""
    from dataclasses import replace

    from sktamm.exports import _hs3

    ask = _hs3.linear_model

    def far(*arguments):
        model = ask(*arguments)
        parts = [replace(c, centres=c.centres + 1e3) for c in model.classes]
        return replace(model, classes=parts)

    monkeypatch.setattr(_hs3, "linear_model", far)
    with pytest.raises(InvalidInputError, match="use to_pyhf"):
        to_hs3(fitted(study, False), study.X_target)
