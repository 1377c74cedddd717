"""Checks every file of a folder of golden values by its kind. golden.py describes the interface of a check module."""

import importlib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.golden.check_singan import check_pyramid
from tests.golden.golden import Check, Stored, load, load_cases, problems, relative_error

DATA = Path(__file__).parent / "data"
CASES = {"singan_pyramid": check_pyramid}
MODULES = sorted(path.stem for path in Path(__file__).parent.glob("check_*.py"))


def checks() -> dict[str, Check]:
    kinds: dict[str, Check] = {}
    for name in MODULES:
        kinds |= importlib.import_module(f"tests.golden.{name}").KINDS
    return kinds


def test_values_of_a_golden_file_are_reproduced(golden_file: Path | None) -> None:
    assert golden_file is not None, "no golden files in the folder"
    if golden_file.suffix == ".json":
        assert golden_file.stem in CASES, f"{golden_file.name}: unknown kind (known: {', '.join(CASES)})"
        cases = load_cases(golden_file)
        CASES[golden_file.stem](cases)
        assert not set.union(*(case.unread for case in cases)), "keys that no check reads"
        return
    assert golden_file.suffix == ".safetensors", f"{golden_file.name}: neither .safetensors nor .json"
    kind, stored, metadata = load(golden_file)
    known = checks()
    assert kind in known, f"{golden_file.name}: unknown kind {kind!r} (known: {', '.join(sorted(known))})"
    wrong = problems(stored, known[kind](stored, metadata))
    assert not wrong, f"{golden_file.name}:\n" + "\n".join(wrong)


def test_an_empty_folder_an_unknown_kind_and_an_unread_output_are_failures(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no golden files"):
        test_values_of_a_golden_file_are_reproduced(None)
    for kind in ("slim_skipp", None):
        save_file({"low": torch.zeros(1)}, tmp_path / "new.safetensors", {"kind": kind} if kind else None)
        with pytest.raises(AssertionError, match="unknown kind"):
            test_values_of_a_golden_file_are_reproduced(tmp_path / "new.safetensors")
    for name, words in (("new.json", "unknown kind"), ("new.txt", "neither")):
        (tmp_path / name).write_text("[]")
        with pytest.raises(AssertionError, match=words):
            test_values_of_a_golden_file_are_reproduced(tmp_path / name)
    with safe_open(DATA / "sle_gate.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        save_file(tensors | {"output_2": tensors["output"].clone()}, tmp_path / "more.safetensors", file.metadata())
    with pytest.raises(AssertionError, match="output_2: a stored output that was not computed"):
        test_values_of_a_golden_file_are_reproduced(tmp_path / "more.safetensors")


def test_the_comparison_detects_a_wrong_value_a_missing_output_and_an_unread_tensor() -> None:
    reference = torch.tensor([1.0, 2.0])
    stored = Stored({"output": reference, "other_output": reference, "low": reference.half(), "count": torch.tensor(3)})
    assert len(problems(stored, {})) == 4
    stored = Stored({"output": reference, "count": torch.tensor(3)})
    assert not problems(stored, {"output": reference * (1 + 5e-6), "count": torch.tensor(3)})
    assert len(problems(stored, {"output": reference * (1 + 5e-5), "count": torch.tensor(4)})) == 2
    assert relative_error(reference[:1], reference) == float("inf")
    assert problems(stored, {"output": reference * float("nan"), "count": torch.tensor(3)})
