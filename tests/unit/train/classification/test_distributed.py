"""Two processes over gloo have the same losses, running statistics and weights as one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.data.augment import BatchRows
from bench.errors import InputError
from bench.run import write_run
from bench.train import train
from bench.train.classification import distributed
from bench.train.classification.engine import Classification
from bench.train.loop.history import History
from tests.helpers import ROOT
from tests.helpers.classify_cases import classify_run, write_prepared

WORKER = """
import json, sys
from pathlib import Path
import torch
from tests.helpers.classify_cases import classify_run
from bench.train.classification.engine import Classification
from bench.runtime.processes import rank, start_group, stop_group

torch.set_num_threads(1)
start_group(torch.device("cpu"))
found = {}
for name, recipe in json.loads(sys.argv[3]).items():
    engine = Classification(classify_run(Path(sys.argv[1]), "slim-resnet", **recipe), torch.device("cpu"))
    losses = [engine.step(index)["loss"].item() for index in range(engine.total_steps)]
    found[name] = {"losses": losses, "model": engine.model.state_dict()}
if rank() == 0:
    torch.save(found, sys.argv[2])
stop_group()
"""
RECIPES = {
    "smoothing": {"epochs": 1, "warmup_epochs": 0, "label_smoothing": 0.1},
    "mixing": {"epochs": 1, "warmup_epochs": 0, "mixup": 0.2, "cutmix": 1.0, "augment": "imagenet"},
}


COMMON = {"OMP_NUM_THREADS": "1"}
if "lo" in {name for _, name in socket.if_nameindex()}:
    COMMON["GLOO_SOCKET_IFNAME"] = "lo"  # the machine's host name may resolve to an unreachable address


def run_two(data: Path, out: Path) -> dict:
    """Run two processes. The store is opened here, so that no other process can take its port."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    common = os.environ | COMMON | place | {"WORLD_SIZE": "2", "PYTHONPATH": path}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(data), str(out), json.dumps(RECIPES)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=1200) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return torch.load(out, weights_only=True)


def test_two_processes_equal_one(tmp_path: Path) -> None:
    data = write_prepared(tmp_path / "stripes-16")
    two = run_two(data, tmp_path / "two.pt")
    for name, recipe in RECIPES.items():
        engine = Classification(classify_run(data, "slim-resnet", **recipe), torch.device("cpu"))
        expected = [engine.step(index)["loss"].item() for index in range(engine.total_steps)]
        assert two[name]["losses"] == pytest.approx(expected, rel=1e-5, abs=1e-5)
        for key, value in engine.model.state_dict().items():
            torch.testing.assert_close(two[name]["model"][key], value, rtol=1e-3, atol=1e-4, msg=key)


@pytest.mark.slow
def test_the_documented_torchrun_command_equals_one_process(tmp_path: Path) -> None:
    run = classify_run(write_prepared(tmp_path / "stripes-16"), epochs=1)
    write_run(tmp_path / "run.json", run)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    torchrun += ["--nproc-per-node", "2", "-m", "--", "bench.cli", "train", "--run", str(tmp_path / "run.json")]
    torchrun += ["--out", str(tmp_path / "two"), "--state", str(tmp_path / "state-two")]
    environment = os.environ | COMMON | {"PYTHONPATH": str(ROOT)}
    subprocess.run(torchrun, env=environment, cwd=ROOT, check=True, timeout=1200)
    train(run, tmp_path / "one", tmp_path / "state-one")
    losses = {}
    for name in ("one", "two"):
        losses[name] = [float(row["loss"]) for row in History(tmp_path / name / "history.csv").read()]
    assert losses["two"] == pytest.approx(losses["one"], rel=1e-5) and losses["one"]


def test_a_batch_that_is_not_divisible_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    with pytest.raises(InputError, match=r"recipe.batch_size 256 is not divisible by the 3 processes"):
        distributed.local_rows(256)


def test_mixup_rejects_odd_local_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed.check_even(BatchRows(0, 3, 3))
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    distributed.check_even(BatchRows(0, 4, 8))
    with pytest.raises(InputError, match="batch_size 6: mixup and cutmix need an even number"):
        distributed.check_even(BatchRows(3, 6, 6))
