"""Training settings of the networks, each in one place.

A field of `TrainingSettings` is a parameter of every network: its type, default,
constraint and documentation stand together. `network` makes the constructor, the
constraints and the docstring of a class from its fields and those of its parents.
"""

import inspect
import textwrap
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar, dataclass_transform

import numpy as np

from sktamm._sklearn import at_least, between, not_negative, one_of

__all__ = ["TrainingSettings", "network", "setting"]

_Class = TypeVar("_Class", bound=type)

# Attributes of every fitted network, {fitted} in docstrings.
_FITTED = """\
coefs_ : list of ndarray of shape (n_members, fan_in, fan_out)
    Weights of each layer, for standardised features.
intercepts_ : list of ndarray of shape (n_members, fan_out)
    Biases of each layer.
loss_curve_ : ndarray of shape (n_epochs, n_members)
    Mean training loss during each epoch of the last call; in regression that of the
    standardised targets.
validation_loss_curve_ : ndarray of shape (n_epochs, n_members) or None
    Mean loss of the held-out rows after each epoch.
best_epoch_ : ndarray of shape (n_members,)
    Epoch, from zero, whose weights each member kept.
n_epochs_ : int
    Number of epochs of the last call.
device_ : str
    Where the training ran.
n_features_in_ : int
    Number of features.
feature_names_in_ : ndarray of shape (n_features,)
    Names of the features, when all of them are strings."""


def setting(
    *, default: Any, allowed: list[Any], kind: str, doc: str, kw_only: bool = True
) -> Any:
    """Field of a network: default, constraint, type and text of the docstring."""
    metadata = {"allowed": allowed, "kind": kind, "doc": doc}
    return field(default=default, metadata=metadata, kw_only=kw_only)


@dataclass_transform(kw_only_default=True, field_specifiers=(setting, field))
def network(cls: _Class) -> _Class:
    """Constructor, constraints and docstring of a class of settings."""
    documentation = inspect.cleandoc(cls.__doc__ or "")
    dataclass(eq=False, repr=False, kw_only=True)(cls)
    told = {
        one.name: one.metadata
        for base in reversed(cls.__mro__)
        for one in base.__dict__.get("__dataclass_fields__", {}).values()
        if one.metadata
    }
    given: Any = [one for one in fields(cls) if one.init]
    constraints = {one.name: told[one.name]["allowed"] for one in given}
    cls._parameter_constraints = constraints  # type: ignore[attr-defined]
    parameters = [_entry(one.name, one.default, told[one.name]) for one in given]
    section = "\n".join(["Parameters", "----------", *parameters])
    documentation = documentation.replace("{parameters}", section)
    cls.__doc__ = documentation.replace("{fitted}", _FITTED)
    return cls


def _entry(name: str, default: Any, told: Any) -> str:
    value = f'"{default}"' if isinstance(default, str) else repr(default)
    text = textwrap.wrap(told["doc"], 84, break_on_hyphens=False)
    return "\n    ".join([f"{name} : {told['kind']}, default={value}", *text])


@network
class TrainingSettings:
    """What all networks can be told."""

    hidden_layer_sizes: Any = setting(
        default=(64, 64, 64),
        allowed=["array-like", at_least(1)],
        kind="int or sequence of int",
        doc="Widths of the hidden layers; an empty sequence is a linear model.",
        kw_only=False,
    )
    activation: Literal["leaky_relu", "relu", "tanh", "elu", "gelu"] = setting(
        default="leaky_relu",
        allowed=[one_of("leaky_relu", "relu", "tanh", "elu", "gelu")],
        kind='{"leaky_relu", "relu", "tanh", "elu", "gelu"}',
        doc="Function of the hidden layers; the leaky one has slope 0.2 below zero.",
        kw_only=False,
    )
    n_members: int = setting(
        default=1,
        allowed=[at_least(1)],
        kind="int",
        doc="Number of networks, trained at once.",
    )
    bootstrap: bool = setting(
        default=True,
        allowed=["boolean"],
        kind="bool",
        doc="Give every member of several its own Poisson(1) event weights.",
    )
    learning_rate: float | Literal["auto"] = setting(
        default=1e-3,
        allowed=[between(0, np.inf), one_of("auto")],
        kind='float or "auto"',
        doc='Step size of Adam; with "one_cycle" the largest one. "auto" is 1e-3, and '
        "more in training of many rows: see max_epochs.",
    )
    schedule: Literal["one_cycle", "constant"] = setting(
        default="one_cycle",
        allowed=[one_of("one_cycle", "constant")],
        kind='{"one_cycle", "constant"}',
        doc="Learning rate over the training: up and slowly down to zero, or constant.",
    )
    batch_size: int | Literal["auto"] = setting(
        default="auto",
        allowed=[at_least(1), one_of("auto")],
        kind='int or "auto"',
        doc='Rows per step; "auto" is a hundredth of the rows, between 32 and 4096.',
    )
    max_epochs: int | Literal["auto"] = setting(
        default=20,
        allowed=[at_least(1), one_of("auto")],
        kind='int or "auto"',
        doc='Largest number of passes over the data. "auto" is 20; if learning_rate '
        'is "auto", too, and rows are more than 409 600, their number over that, but '
        "three at most, divides the passes and multiplies the learning rate.",
    )
    validation_fraction: float = setting(
        default=0.1,
        allowed=[between(0, 1)],
        kind="float",
        doc="Share of the rows, of every class if there are classes, that is held "
        "out for early stopping.",
    )
    early_stopping: bool = setting(
        default=True,
        allowed=["boolean"],
        kind="bool",
        doc="Hold rows out, stop when every member gets worse on them, and restore "
        "the best weights of each member: of the last epoch whose loss exceeds "
        "the least one by no more than the standard error of the difference. "
        "With fewer than ten rows (in a class), or too few held-out rows, the "
        "training quietly does without.",
    )
    patience: int = setting(
        default=10,
        allowed=[at_least(1)],
        kind="int",
        doc="Number of epochs with a larger loss than that after which a member stops.",
    )
    weight_decay: float = setting(
        default=0.0,
        allowed=[not_negative()],
        kind="float",
        doc="Decoupled weight decay, in units of the learning rate.",
    )
    warm_start: bool = setting(
        default=False,
        allowed=["boolean"],
        kind="bool",
        doc="Start from the fitted weights and their standardisation instead of new "
        "ones.",
    )
    device: str = setting(
        default="auto",
        allowed=[one_of("auto", "cpu", "cuda")],
        kind='{"auto", "cpu", "cuda"}',
        doc='Where to compute; "auto" takes a CUDA device if there is one.',
    )
    mixed_precision: bool | Literal["auto"] = setting(
        default="auto",
        allowed=[one_of("auto"), "boolean"],
        kind='{"auto", True, False}',
        doc='Train in 16 bits; "auto" does on a GPU.',
    )
    progress: bool = setting(
        default=False,
        allowed=["boolean"],
        kind="bool",
        doc="Show a progress bar if tqdm is installed.",
    )
    random_state: Any = setting(
        default=None,
        allowed=["random_state"],
        kind="int, RandomState instance or None",
        doc="Split, initial weights, resampling and order of the rows. An integer "
        "gives the same numbers bit for bit on a CPU with a fixed number of "
        "threads.",
    )
