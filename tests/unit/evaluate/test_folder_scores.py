"""`evaluate --samples --reference` on typical folders of users."""

import json
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli import main
from bench.data.images import require_images
from bench.errors import InputError
from bench.evaluate import folders
from bench.evaluate.extractors import MetricExtractor
from bench.evaluate.folders import evaluate_folders
from bench.evaluate.pairs import pair_images, refuse_shared
from bench.metrics import ssim as similarity
from bench.metrics.folder import BATCH_PIXELS, read_image, stream_images
from tests.helpers.data_project import image_folder, random_image


class Pixels:
    """Feature extractor that returns sixteen pixels without a network."""

    name, dim, input_range, weights_sha256 = "pixels", 48, (0, 255), ""

    def __call__(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float(), 4).flatten(1)


@pytest.fixture(autouse=True)
def stub_extractors(monkeypatch):
    metrics = {"frechet": "fd_efflite0", "memorisation": "memorisation_efflite0"}
    monkeypatch.setattr(folders, "open_extractors", lambda *_: [MetricExtractor(Pixels(), metrics)])


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image_folder(tmp_path / "real", 4, (40, 40))
    return tmp_path


def scores(samples, reference="real", **options):
    return {score.metric: score for score in evaluate_folders(samples, reference, **options)}


def test_photographs_rotated_by_exif_have_distance_0(workdir):
    (workdir / "turned").mkdir()
    for path in (workdir / "real").iterdir():
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(workdir / "turned" / path.name, exif=exif)
    found = scores("turned")
    assert abs(found["fd_efflite0"].value) < 1e-6 and found["ssim_samples"].value == pytest.approx(1, abs=1e-12)


def test_alpha_is_composited_on_the_background_in_the_protocol(workdir, capsys):
    for mode in ("L", "RGBA"):
        (workdir / mode).mkdir()
    for index in range(4):
        random_image(40, 40, seed=index, mode="L").save(workdir / f"L/{index}.png")
        random_image(40, 40, seed=index, mode="RGBA").save(workdir / f"RGBA/{index}.png")
    grey, white, black = scores("L"), scores("RGBA"), scores("RGBA", background=(0, 0, 0))
    assert grey["fd_efflite0"].protocol == "fd_efflite0/pixels/px40/real4-all/fake4-folder"
    assert white["fd_efflite0"].protocol == "fd_efflite0/pixels/px40/alpha-on-ffffff/real4-all/fake4-folder"
    assert "/alpha-on-000000/" in black["ssim_samples"].protocol
    assert white["fd_efflite0"].value != black["fd_efflite0"].value
    assert "RGBA: 4 of 4 images have an alpha channel" in capsys.readouterr().err
    assert main(["evaluate", "--samples", "RGBA", "--reference", "real", "--background", "0,0,0"]) == 0
    assert "/alpha-on-000000/" in capsys.readouterr().out
    for wrong in ("white", "0,0", "0,0,256"):
        assert main(["evaluate", "--samples", "RGBA", "--reference", "real", "--background", wrong]) == 2
    assert main(["evaluate", "--run", "real", "--background", "0,0,0"]) == 2


def test_a_folder_compared_with_itself_has_ssim_1(workdir, capsys):
    """Holds for names that differ only in their suffix, and for images of several sizes."""
    random_image(40, 40, seed=20).save(workdir / "real/0.jpg", quality=50)
    random_image(30, 50, seed=21).save(workdir / "real/wide.bmp")
    found = scores("real")
    assert found["ssim_samples"].value == pytest.approx(1, abs=1e-12) and found["ssim_samples"].n == 6
    assert "real: samples and reference are the same folder" in capsys.readouterr().err


def pairs(samples, reference):
    found, note = pair_images(require_images(samples), require_images(reference))
    return {(a.path.name, b.path.name) for a, b in found}, note


def test_pairing_by_full_name_first_then_by_stem(workdir):
    (workdir / "fake/sub").mkdir(parents=True)
    for name in ("0.png", "0.jpg", "1.webp", "2.png", "sub/3.bmp"):
        random_image(40, 40).save(workdir / "fake" / name)
    assert pairs("fake", "real") == (set(), None), "3.png has no partner"
    (workdir / "real/sub").mkdir()
    (workdir / "real/3.png").rename(workdir / "real/sub/3.png")
    random_image(40, 40).save(workdir / "real/0.bmp")
    named = {("0.png", "0.png"), ("0.jpg", "0.bmp"), ("1.webp", "1.png"), ("2.png", "2.png"), ("3.bmp", "3.png")}
    assert pairs("fake", "real") == (named, None)
    random_image(30, 40).save(workdir / "real/2.png")
    assert pairs("fake", "real") == (set(), None), "of another size"


def test_ambiguous_names_are_reported_instead_of_paired(workdir, capsys):
    (workdir / "fake").mkdir()
    for name in ("0.jpg", "0.bmp", "1.png", "2.png", "3.png"):
        random_image(40, 40).save(workdir / "fake" / name)
    assert "ssim_samples" not in scores("fake")
    assert "SSIM is not computed, because 0.bmp, 0.jpg differ only in their suffix" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("samples", "reference"),
    [
        ("real/sub", "real"),
        ("real", "real/sub"),
        ("./real/../real/sub", "real/"),
        ("link", "real"),
        ("real", "link"),
        ("linked", "real"),
        ("real", "linked"),
        ("one", "real"),
    ],
)
def test_a_folder_inside_the_other_is_refused_in_one_line(workdir, samples, reference, capsys):
    """Covers equal paths, other spellings, and links to folders or files."""
    image_folder(workdir / "real/sub", 2, (40, 40))
    (workdir / "link").symlink_to("real/sub")
    for name, target in (("linked", "../real/sub"), ("one", "../real/0.png")):
        image_folder(workdir / name, 2, (40, 40))
        (workdir / name / "x.png").symlink_to(target)
    assert main(["evaluate", "--samples", samples, "--reference", reference]) == 2
    (message,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert "is inside" in message or "links to images" in message


@pytest.mark.parametrize("spelling", ["real", "./real/", "sub/../real", "link"])
def test_the_same_folder_gives_a_note_and_is_named_once(workdir, spelling, capsys):
    (workdir / "sub").mkdir()
    (workdir / "link").symlink_to("real")
    score = scores(spelling)["fd_efflite0"]
    assert score.run == "real against itself" and abs(score.value) < 1e-6
    assert "samples and reference are the same folder" in capsys.readouterr().err


def test_copies_in_another_folder_are_scored_with_a_note(workdir, capsys):
    image_folder(workdir / "copy", 5, (40, 40))
    assert not refuse_shared(require_images("copy"), require_images("real"))
    assert scores("copy")["fd_efflite0"].run == "copy against real"
    assert "note: copy: 4 of 5 samples are copies of images in real\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("samples", "message"), [("", "the path is empty"), ("real/0.png", "a file; pass a folder with")]
)
def test_a_missing_folder_or_a_file_is_refused(workdir, capsys, samples, message):
    try:
        status = main(["evaluate", "--samples", samples, "--reference", "real"])
    except SystemExit as error:  # of the argument parser
        status = error.code
    assert status == 2 and message in capsys.readouterr().err


@pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="file names are not UTF-8 here")
def test_names_that_are_not_utf8_neither_crash_nor_reach_the_terminal(workdir, capsys, monkeypatch):
    odd = "fa\udcffke\x1b[31m"
    image_folder(workdir / odd, 3, (40, 40))
    command = ["evaluate", "--samples", odd, "--reference", "real", "--out", "out.json"]
    monkeypatch.setattr(sys, "argv", ["slim-bench", *command])
    assert main(command) == 0
    assert json.loads((workdir / "out.json").read_text())[0]["run"] == "fa\\xffke\\x1b[31m against real"
    (workdir / odd / "0.png").rename(workdir / odd / "\udcfe.png")
    assert main(command) == 2
    message = capsys.readouterr().err
    assert "not UTF-8; rename it" in message and "\x1b" not in message and message.encode()


def test_batches_of_large_images_are_small(monkeypatch, workdir):
    monkeypatch.setattr("bench.metrics.folder.BATCH_PIXELS", 2 * 40 * 40)
    files = sorted((workdir / "real").iterdir())
    assert [len(batch) for batch in stream_images(files)] == [2, 2]
    monkeypatch.setattr("bench.metrics.folder.BATCH_PIXELS", 1)
    batches = list(stream_images(files))
    assert [len(batch) for batch in batches] == [1] * 4 and torch.equal(batches[1][0], read_image(files[1]))
    assert BATCH_PIXELS >= 8 * 2048 * 2048


def test_ssim_of_a_large_image_in_tiles_is_the_same(monkeypatch):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 60, 40), np.uint8))
    whole = similarity.ssim(images, images.flip(2))
    monkeypatch.setattr(similarity, "MAX_UNTILED_PIXELS", 1)
    for tile in (7, 16, 128):
        monkeypatch.setattr(similarity, "TILE", tile)
        assert torch.allclose(similarity.ssim(images, images.flip(2)), whole, atol=1e-12)


def test_samples_that_link_to_reference_images_are_refused(workdir):
    for name in ("a", "b"):
        (workdir / name).mkdir()
        for index in range(2):
            (workdir / name / f"{name}{index}.png").symlink_to(workdir / f"real/{index}.png")
    with pytest.raises(InputError, match=r"2 of 2 samples are links to images of b"):
        refuse_shared(require_images("a"), require_images("b"))
    assert os.path.samefile("a/a0.png", "b/b0.png")


def test_the_second_scoring_of_a_folder_needs_no_network(workdir, monkeypatch, feature_cache):
    image_folder(workdir / "fake", 3, (40, 40))
    first = scores("fake")
    assert len(list(feature_cache.iterdir())) == 2
    (workdir / "real").rename(workdir / "moved")
    monkeypatch.setattr(Pixels, "__call__", lambda *_: pytest.fail("the network ran"))
    again = scores("fake", "moved")
    assert {name: score.value for name, score in again.items()} == {name: first[name].value for name in first}
    random_image(40, 40, seed=9).save(workdir / "fake/2.png")
    with pytest.raises(pytest.fail.Exception):
        scores("fake", "moved")


def test_cached_features_depend_on_the_background(workdir):
    (workdir / "clear").mkdir()
    for index in range(2):
        random_image(40, 40, seed=index, mode="RGBA").save(workdir / f"clear/{index}.png")
    white, black = (scores("clear", background=(shade,) * 3)["fd_efflite0"].value for shade in (255, 0))
    assert white != black


def test_blocks_do_not_change_the_features(workdir, monkeypatch):
    for index, size in enumerate((40, 40, 30, 40, 40)):
        random_image(size, 40, seed=20 + index).save(workdir / f"real/x{index}.png")
    sizes = [len(batch) for _, batch in folders.ScoredFolder(workdir / "real").stream([0])]
    monkeypatch.setattr("bench.metrics.blocks.BLOCK_IMAGES", 2)
    folder = folders.ScoredFolder(workdir / "real")
    assert len(folder.blocks) > 1 and sum(block.n for block in folder.blocks) == 9
    assert [len(batch) for _, batch in folder.stream(range(len(folder.blocks)))] == sizes


def test_selected_metrics_are_printed_as_json(workdir, capsys, monkeypatch):
    image_folder(workdir / "fake", 3, (40, 40))
    command = ["evaluate", "--samples", "fake", "--reference", "real", "--out", "out.json"]
    assert main([*command, "--metrics", "ssim_samples, fd_efflite0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((workdir / "out.json").read_text())
    assert [score["metric"] for score in found] == ["fd_efflite0", "ssim_samples"]
    assert found[0]["value"] > 0 and (found[1]["status"], found[1]["value"]) == ("failed", None)
    assert found[1]["reason"] == "some samples have no reference image of the same name and size"
    monkeypatch.setattr(folders, "open_extractors", lambda names, _: [] if not names else pytest.fail(str(names)))
    assert main([*command[:5], "--metrics", "ssim_samples"]) == 0
    assert capsys.readouterr().out.startswith("ssim_samples           FAILED: some samples")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "fid_cleanfidd"], "--metrics: unknown metric 'fid_cleanfidd' (did you mean 'fid_cleanfid'?)"),
        (["--metrics", "fd_efflite0,,"], "--metrics: unknown metric ''"),
        (["--metrics", "top1"], "--metrics: metric 'top1' needs a run"),
        (["--metrics", "inception_score"], "--metrics: inception_score needs weights; "),
    ],
)
def test_wrong_metrics_are_refused_before_any_image_is_read(workdir, options, message, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(workdir))
    assert main(["evaluate", "--samples", "nowhere", "--reference", "real", *options]) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert f"error: {message}" in error
    if "inception_score" in options:
        assert "slim-bench fetch inception-cleanfid" in error


@pytest.mark.parametrize("option", [["--metrics", "fd_efflite0"], ["--json"]])
def test_options_of_folders_are_refused_for_a_run(workdir, option, capsys):
    assert main(["evaluate", "--run", "real", *option]) == 2
    assert f"{option[0]}: valid only with --samples" in capsys.readouterr().err


def test_large_image_sets_get_only_distances_by_default(workdir, monkeypatch, capsys):
    monkeypatch.setattr(folders, "MAX_NEIGHBOUR_IMAGES", 3)
    assert scores("real").keys() == {"fd_efflite0", "ssim_samples"}
    assert "more than 3 images: Fréchet distances only; --metrics selects others" in capsys.readouterr().err
    assert scores("real", metrics=("memorisation_efflite0",)).keys() == {"memorisation_efflite0"}
