"""Functions for process groups in a single process."""

import torch

from bench.runtime.processes import all_equal, any_process, barrier, rank, start_group, stop_group, world_size
from bench.train.classification.distributed import mean_over_processes

CPU = torch.device("cpu")


def test_a_single_process_needs_no_process_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    start_group(CPU)
    assert (world_size(), rank()) == (1, 0)
    assert any_process(True, CPU) and not any_process(False, CPU) and all_equal(7, CPU)
    barrier()
    stop_group()


def test_the_mean_over_one_process_is_its_value():
    assert mean_over_processes({"loss": torch.tensor(2.5)}) == {"loss": torch.tensor(2.5)}
