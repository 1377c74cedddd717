"""A recipe or an export with extreme numbers gives a one-line error before it uses memory or time."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bench.cli import main
from bench.commands.running import _limit_threads
from bench.errors import InputError
from bench.evaluate.oneshot import draw_samples
from bench.export import create_seeded, load_export, load_weights, save_weights
from bench.files import sha256_file, write_json
from bench.registry import MODELS, create_model
from bench.run import read_run, write_run
from bench.runtime import memory
from bench.runtime.environment import MAX_THREADS, check_threads
from bench.runtime.memory import available_memory_bytes, check_memory
from bench.skeleton import MAX_LAYERS, build_skeleton
from bench.train import train
from tests.helpers.tiny import MODELS as SMALL
from tests.helpers.tiny import tiny_run, write_data

EXTREME = [
    ("fastgan-slim", {"base_channels": 20000}, "at least .* GiB of memory are needed, but .* GiB are available"),
    ("fastgan-discriminator", {"base_channels": 10**9}, "GiB of memory are needed"),
    ("singan", {"base_channels": 10**9}, "GiB of memory are needed"),
    ("singan", {"height": 10**9, "width": 10**9}, "at most 16384 px per side"),
    ("singan-slim", {"scale_factor": 0.9999999}, "scales, but at most 200 are supported"),
    ("fastgan-sle", {"base_channels": 10**9}, "GiB of memory are needed"),
    ("fastgan-slim", {"base_channels": 2**52}, "GiB of memory are needed"),
    ("resnet", {"width": 10**9}, "GiB of memory are needed"),
    ("resnet50", {"num_classes": 10**12}, "GiB of memory are needed"),
    ("slim-resnet", {"in_channels": 2**50}, "GiB of memory are needed"),
]


@pytest.mark.parametrize(("name", "args", "message"), EXTREME, ids=[f"{name}-{min(args)}" for name, args, _ in EXTREME])
def test_a_network_that_does_not_fit_into_memory_is_refused_before_it_is_built(name, args, message):
    before = memory.peak_memory_bytes(torch.device("cpu"))
    with pytest.raises(InputError, match=message) as error:
        create_seeded({"name": name, "args": args}, 0)
    assert "\n" not in str(error.value)
    assert memory.peak_memory_bytes(torch.device("cpu")) - before < 2**28


def test_a_network_with_too_many_layers_is_refused(monkeypatch):
    monkeypatch.setattr("bench.skeleton.MAX_LAYERS", 1000)
    with pytest.raises(InputError, match="model resnet: more than 1,000 layers"):
        build_skeleton("resnet", {"blocks": [10**9]})
    assert MAX_LAYERS > 1000


@pytest.mark.parametrize("name", ["fastgan-slim", "singan", "singan-slim", "slim-resnet", "resnext"])
def test_a_skeleton_has_the_shapes_of_its_network_and_no_side_effects(name):
    state = torch.random.get_rng_state()
    skeleton = build_skeleton(name, {})
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(value.device.type == "meta" or value.numel() == 1 for value in skeleton.parameters())
    plain = {"spectral_norm": False} if name.startswith("fastgan") else {}
    network = create_model(name, **plain)
    assert all(value.device.type == "cpu" for value in network.parameters())
    shapes = [{key: value.shape for key, value in found.state_dict().items()} for found in (skeleton, network)]
    assert shapes[0] == shapes[1] and name in MODELS


def test_memory_is_compared_with_the_available_memory():
    available = available_memory_bytes()
    assert 2**20 < available < 2**50
    check_memory(available // 2, "x")
    with pytest.raises(InputError, match=r"^x: at least .* GiB of memory are needed, but .* GiB are available$"):
        check_memory(available * 4, "x")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recipe.steps", 10**12),
        ("recipe.batch_size", 10**9),
        ("recipe.snapshots", 10**15),
        ("recipe.strips", 10**15),
        ("evaluation.n_fake", 10**12),
        ("evaluation.batch_size", 10**9),
        ("evaluation.latent_seed", 2**60),
        ("compute.threads", 100_000),
        ("compute.threads", 0),
        ("compute.threads", -1),
        ("compute.log_every", 10**12),
        ("recipe.batch_size", 0),
        ("recipe.steps", -5),
    ],
)
def test_out_of_range_numbers_of_a_run_are_named_by_file_and_key(tmp_path, key, value):
    write_run(tmp_path / "run.json", tiny_run("fewshot", tmp_path))
    content = json.loads((tmp_path / "run.json").read_text())
    section, name = key.split(".")
    content[section][name] = value
    write_json(tmp_path / "run.json", content)
    with pytest.raises(InputError, match=rf"run\.json: {section}\.(fewshot\.)?{name}: Input should be "):
        read_run(tmp_path / "run.json")


def test_a_generated_batch_much_larger_than_the_scored_images_is_refused(tmp_path):
    content = tiny_run("fewshot", tmp_path).model_dump(mode="json")
    content["evaluation"] |= {"n_fake": 20, "batch_size": 65_536}
    write_json(tmp_path / "run.json", content)
    with pytest.raises(InputError, match=r"run\.json: evaluation\.batch_size 65536 exceeds .*; use at most 20$"):
        read_run(tmp_path / "run.json")
    content["evaluation"]["n_fake"] = 2  # the default batch size is valid for any n_fake
    content["evaluation"]["batch_size"] = 16
    write_json(tmp_path / "run.json", content)
    assert read_run(tmp_path / "run.json").evaluation.n_fake == 2


@pytest.mark.parametrize("threads", [100_000, 1024, 0, -3])
def test_too_many_threads_give_a_one_line_error(threads, monkeypatch):
    monkeypatch.setattr("bench.runtime.environment.os.cpu_count", lambda: 2)
    check_threads(MAX_THREADS, "x")
    check_threads(None, "x")
    with pytest.raises(InputError, match=rf"x: {threads} threads are requested, but 2 processors allow 1 to 64"):
        check_threads(threads, "x")


def test_train_and_evaluate_check_the_thread_count_before_torch(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.runtime.environment.os.cpu_count", lambda: 2)
    run = tiny_run("fewshot", tmp_path, compute={"threads": 1000})
    with pytest.raises(InputError, match=r"compute\.threads: 1000 threads"):
        _limit_threads(run)
    with pytest.raises(InputError, match=r"compute\.threads: 1000 threads"):
        train(run, tmp_path / "out", tmp_path / "state")


@pytest.mark.parametrize(("metric", "message"), [("fid", "unknown metric 'fid'"), ("top1", "is for classification")])
def test_a_metric_that_cannot_be_scored_is_refused_before_training(tmp_path, metric, message):
    run = tiny_run("fewshot", write_data("fewshot", tmp_path / "data"))
    run = run.model_copy(update={"evaluation": run.evaluation.model_copy(update={"metrics": (metric,)})})
    with pytest.raises(InputError, match=message):
        train(run, tmp_path / "out", tmp_path / "state")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", ["fewshot", "classification"])
def test_a_batch_whose_images_do_not_fit_is_refused_before_training(tmp_path, monkeypatch, task):
    run = tiny_run(task, write_data(task, tmp_path / "data"), batch_size=60_000)
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 2**28)
    with pytest.raises(
        InputError, match=r"recipe\.batch_size 60000: at least .* GiB of memory are needed, but 0\.2 GiB"
    ):
        train(run, tmp_path / "out", tmp_path / "state")
    assert not (tmp_path / "out/model.json").exists()


# ---- exports ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    spec = SMALL["fewshot"].model_dump()
    meta = {"status": "ok", "model_sha256": save_weights(folder / "model.safetensors", create_seeded(spec, 0), spec)}
    with safe_open(folder / "model.safetensors", "pt") as file:
        meta["model"] = json.loads(file.metadata()["model"])
    write_json(folder / "model.json", meta)
    return folder


def forged(export, target, tensors=lambda found: found, **args):
    """Return a copy with other tensors and arguments and matching checksums."""
    spec = json.loads((export / "model.json").read_text())["model"]
    spec = {**spec, "args": spec["args"] | args}
    found = tensors(load_file(export / "model.safetensors"))
    save_file(found, target / "model.safetensors", {"model": json.dumps(spec)})
    sha = sha256_file(target / "model.safetensors")
    write_json(target / "model.json", {"status": "ok", "model": spec, "model_sha256": sha})
    return target


def test_an_export_is_compared_with_its_header_before_anything_is_built(export, tmp_path, capsys):
    load_export(export)
    forged(export, tmp_path, base_channels=32)
    before = memory.peak_memory_bytes(torch.device("cpu"))
    with pytest.raises(InputError, match=r"model\.safetensors: does not fit fastgan-slim: .* in the file, but F32"):
        load_export(tmp_path)
    forged(export, tmp_path, base_channels=20000)
    assert main(["sample", "--model", str(tmp_path), "--out", str(tmp_path / "x.png")]) == 2
    assert "GiB of memory are needed" in capsys.readouterr().err
    assert memory.peak_memory_bytes(torch.device("cpu")) - before < 2**28 and not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: {key: value.double() for key, value in found.items()}, "is F64"),
        (lambda found: {key: value.to(torch.int8) for key, value in found.items()}, "is I8"),
        (lambda found: dict([*found.items()][1:]), "is missing in the file, but"),
        (
            lambda found: found | {"zz.more": torch.zeros(2)},
            "zz.more is F32 .2. in the file, but missing",
        ),
        (lambda found: {key: value[None].contiguous() for key, value in found.items()}, "is F32 .1, "),
    ],
    ids=["float64", "int8", "fewer", "more", "shape"],
)
def test_tensors_of_another_type_or_shape_are_named(export, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        load_export(forged(export, tmp_path, change))


def header(text: bytes, length: int | None = None) -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text


ENTRY = b'{"dtype": "F32", "shape": [2], "data_offsets": [%d, %d]}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        header(b"", 2**63),
        header(b"{}", 2**40),
        header(b"[]"),
        header(b"{"),
        header(b"[" * 100_000),
        header(b'{"a": ' + ENTRY % (0, 2**50) + b"}"),
        header(b'{"a": ' + ENTRY % (0, 8) + b', "b": ' + ENTRY % (4, 12) + b"}") + bytes(12),
        header(b'{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 8]}}') + bytes(8),
        header(b'{"__metadata__": {"model": "' + b"[" * 100_000 + b'"}}'),
        header(b'{"__metadata__": {"model": "{\\"name\\": \\"resnet\\", \\"args\\": 3}"}}'),
    ],
    ids=[
        "empty",
        "byte",
        "endless",
        "huge",
        "list",
        "truncated",
        "deep",
        "far",
        "overlapping",
        "overflow",
        "spec",
        "args",
    ],
)
def test_a_wrong_header_of_a_weights_file_gives_a_one_line_error(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors: ") as error:
        load_weights(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("n", [10**12, 2**62])
def test_a_number_of_samples_that_does_not_fit_is_refused(export, tmp_path, capsys, n):
    given = ["sample", "--model", str(export), "-n", str(n), "--out", str(tmp_path / "x.png")]
    assert main(given) == 2
    assert f"-n {n}: the images: at least" in capsys.readouterr().err


def test_one_shot_samples_that_do_not_fit_are_refused_before_they_are_drawn(monkeypatch):
    pyramid = create_seeded({"name": "singan", "args": {"base_channels": 4}}, 0)
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 2**28)
    with pytest.raises(InputError, match=r"^1000000 one-shot samples .*: at least .* GiB of memory are needed"):
        draw_samples(pyramid, 10**6, 0)


@pytest.mark.parametrize("n", ["0", "-1", "1" * 5000, "1e3", "nan"])
def test_an_invalid_number_of_samples_is_refused(export, tmp_path, n):
    try:
        code = main(["sample", "--model", str(export), "-n", n, "--out", str(tmp_path / "x.png")])
    except SystemExit as end:
        code = end.code
    assert code == 2


def test_the_skeleton_needs_no_compiler():
    code = "import sys; from bench.skeleton import build_skeleton as b; [b(n, {}) for n in ('fastgan-slim', 'singan')]"
    subprocess.run([sys.executable, "-c", f"{code}; sys.exit('sympy' in sys.modules)"], check=True)


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("8 TiB"), RuntimeError("DefaultCPUAllocator: x")])
def test_running_out_of_memory_gives_a_one_line_error(monkeypatch, capsys, error):
    def fail(_):
        raise error

    monkeypatch.setattr("bench.commands.reporting.models", fail)
    assert main(["models"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("slim-bench: error: out of memory (") and message.count("\n") == 1


def test_a_lost_gpu_gives_a_one_line_error(monkeypatch, capsys):
    def fail(_):
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later")

    monkeypatch.setattr("bench.commands.reporting.models", fail)
    assert main(["models"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("slim-bench: error: the GPU failed (CUDA error: ") and message.count("\n") == 1


def test_other_errors_of_torch_are_not_out_of_memory(monkeypatch):
    def fail(_):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("bench.commands.reporting.models", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["models"])
