"""The error of a failed job is shown on the terminal and not only in its log."""

from PIL import Image


def test_a_bad_image_of_the_user_is_named_on_the_terminal(fresh_copy):
    folder = fresh_copy.path / "mine"
    folder.mkdir()
    for index in range(5):
        Image.new("RGB", (64, 64), (40 * index, 0, 0)).save(folder / f"{index}.png")
    (folder / "bad.png").write_bytes((folder / "0.png").read_bytes()[:60])
    result = fresh_copy.snakemake("own", "--config", "folder=mine", "scale=tiny", "--cores", "1")
    assert result.returncode != 0
    assert "bad.png: " in result.stdout + result.stderr
    assert "rule train:" not in result.stdout + result.stderr
