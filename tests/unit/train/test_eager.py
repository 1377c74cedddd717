"""Training without compilation does not import the compiler, and its optimisers compute the same values."""

import subprocess
import sys

from tests.helpers import ROOT

CODE = """
import sys, torch
from bench.train.eager import avoid_compiler_import
if sys.argv[1] == "spared":
    avoid_compiler_import()
torch.manual_seed(0)
from torch.optim import SGD, Adam, AdamW
for kind, options in ((Adam, {"fused": True}), (AdamW, {}), (SGD, {"momentum": 0.9})):
    model = torch.nn.Linear(3, 2)
    optimiser = kind(model.parameters(), lr=0.1, **options)
    for _ in range(3):
        optimiser.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimiser.step()
        optimiser.load_state_dict(optimiser.state_dict())
    print(model.weight.tolist(), model.weight.requires_grad)
print("torch._dynamo" in sys.modules, file=sys.stderr)
"""


def test_losses_are_equal_without_torch_dynamo():
    root = ROOT
    done = {}
    for name in ("spared", "plain"):
        command = [sys.executable, "-c", CODE, name]
        done[name] = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done["spared"].stdout == done["plain"].stdout != ""
    assert done["spared"].stderr.split()[-1] == "False"
