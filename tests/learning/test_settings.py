"""Settings of the networks: declared once, seen by users, checked and handed on."""

import inspect
from dataclasses import fields

import numpy as np
import pytest
from sklearn.base import clone

from sktamm.learning import (
    RepulsiveEnsembleClassifier,
    RepulsiveEnsembleRegressor,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sktamm.learning._settings import TrainingSettings, network, setting
from sktamm.learning._stacked import StackedMLP

every_network = pytest.mark.parametrize(
    "kind",
    [
        TorchMLPClassifier,
        TorchMLPRegressor,
        RepulsiveEnsembleClassifier,
        RepulsiveEnsembleRegressor,
    ],
)


@every_network
def test_every_setting_is_declared_and_documented(kind):
    names = set(kind().get_params())
    assert names == set(kind._parameter_constraints)
    assert all(f"\n{name} : " in kind.__doc__ for name in names)
    assert "{" not in kind.__doc__.replace('{"', "")
    dropped = {"bootstrap", "weight_decay"} - names
    assert {one.name for one in fields(TrainingSettings)} <= names | dropped


@every_network
def test_only_the_shape_may_be_given_by_position(kind):
    parameters = inspect.signature(kind).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["hidden_layer_sizes", "activation"]


def test_a_setting_is_a_parameter_of_its_class_and_of_its_children():
    @network
    class Clipped(StackedMLP):
        """Clips gradients.

        {parameters}
        """

        clip: float = setting(default=1.0, allowed=[float], kind="float", doc="Norm.")

    @network
    class Tighter(Clipped):
        """Clips them more."""

        clip: float = 0.5

    assert "clip : float, default=1.0\n    Norm." in Clipped.__doc__
    assert clone(Tighter(clip=0.1)).clip == 0.1
    assert Tighter().get_params()["clip"] == 0.5
    assert Tighter._parameter_constraints["clip"] == [float]


@pytest.mark.torch
def test_the_training_gets_every_setting_with_nothing_left_open():
    model = TorchMLPClassifier((4,), max_epochs=3, patience=2, random_state=0)
    model.fit(np.arange(100.0)[:, None], np.arange(100) % 2)
    options = model._options(1000, False, np.random.SeedSequence(0))
    assert (options.max_epochs, options.patience, options.batch_size) == (3, 2, 32)
    assert "auto" not in vars(options).values()
    assert model._options(1000, True, np.random.SeedSequence(0)).max_epochs == 1
