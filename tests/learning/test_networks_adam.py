"""Steps of Adam, refereed by those of torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sktamm.learning._networks import _Adam
from sktamm.learning._settings import TrainingSettings


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_those_of_torch(decay):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(2, 7)).astype(np.float32)
    gradients = rng.normal(size=(6, 2, 7)).astype(np.float32) * 10.0
    rates = [1e-3, 3e-3, 1e-2, 1e-2, 3e-3, 1e-3]
    own, theirs = torch.from_numpy(start.copy()), torch.from_numpy(start.copy())
    settings = TrainingSettings(weight_decay=decay)
    adam = _Adam(own, settings, None)
    theirs.requires_grad_()
    referee = torch.optim.AdamW([theirs], weight_decay=decay)
    for k, (gradient, rate) in enumerate(zip(gradients, rates, strict=True)):
        if k == 3:  # go on from what was kept
            adam = _Adam(own, settings, adam.moments())
        adam.step(torch.from_numpy(gradient), rate)
        referee.param_groups[0]["lr"] = rate
        theirs.grad = torch.from_numpy(gradient)
        referee.step()
        np.testing.assert_allclose(own, theirs.detach(), rtol=1e-6, atol=1e-7)


def test_no_training_imports_the_compiler_of_torch():
    code = (
        "import sys, numpy as np\n"
        "from sktamm.learning import TorchMLPClassifier\n"
        "X = np.arange(40.0)[:, None]\n"
        "TorchMLPClassifier((2,), max_epochs=1).fit(X, np.arange(40) % 2)\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
