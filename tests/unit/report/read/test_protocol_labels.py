import pytest

from bench.report.read.protocol_labels import differing_parts, label_of, score_label


@pytest.mark.parametrize(
    ("protocol", "label"),
    [
        ("fid_cleanfid/inception-tf2015/px64/real100-all/fake500/ema0.999", "FID (clean-fid, n=500)"),
        ("fid_authors/px256/real*-all/fake4992/fake-nearest512", "FID (authors' protocol, n=4992)"),
        ("fd_efflite0/efflite0-v1/px64/halves50-50", "FD (EfficientNet-Lite0, n=50)"),
        ("ssim_samples/gauss11/px96x96/samples25", "SSIM (samples, n=25)"),
        ("top1/centre-crop0.875-bilinear224/last/test50000", "Top-1 (n=50000)"),
        ("params/folded-export", "Parameters"),
        ("unknown/fake7x", "unknown"),
    ],
)
def test_a_label_names_metric_variant_and_number_of_images(protocol, label):
    assert label_of(protocol) == label


def test_a_score_without_a_protocol_has_a_label():
    assert score_label("fid_cleanfid", "") == "FID (clean-fid)"


def test_only_parts_that_differ_under_one_label_are_named():
    labels = ["FID", "FID", "KID", "KID", ""]
    ids = ["fid/px64/bn-train", "fid/px64/bn-eval/ema", "kid/px64", "kid/px64", ""]
    assert differing_parts(labels, ids) == ["bn-train", "bn-eval, ema", "", "", ""]
    assert differing_parts(["a", "a"], ["m/x", "m/x/y"]) == ["without the parts of the other protocols", "y"]
