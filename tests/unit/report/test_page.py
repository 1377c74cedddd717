import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from bench.files import sha256_json
from bench.report.figures.style import inline_svg
from bench.report.outputs import FIGURES, OUTPUTS, PLOT_SUFFIXES, TABLES
from bench.report.page import render
from bench.report.read.collect import collect
from bench.report.read.scores import read_scores
from bench.terminal import CONTROL
from tests.helpers.report_fixture import (
    EMOJI,
    FASHION,
    FD,
    PHOTO,
    collected,
    make_results,
    run_description,
    write_run,
    write_score,
)


class Tags(HTMLParser):
    """Collects every start tag with its attributes, and the tags that are open at the end."""

    VOID = ("meta", "link", "img", "br", "hr")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    scale_dir = make_results(tmp_path_factory.mktemp("page"))
    folder = scale_dir / "runs" / "singan" / PHOTO / "seed0"
    write_score(folder, "diversity", None, status="failed", reason="<script>alert(1)</script>\x1b[31m\u202e")
    collect(scale_dir)
    render(scale_dir)
    return scale_dir


def run_page_text(scale_dir, run):
    return (scale_dir / "report" / "runs" / f"{run}.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(demo):
    return (demo / "report" / "index.html").read_text(encoding="utf-8")


def test_markup_and_control_characters_of_a_reason_are_escaped(demo, html):
    for text in (html, run_page_text(demo, f"singan/{PHOTO}/seed0")):
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\u202e" in text and not CONTROL.search(text)


def test_every_declared_output_exists(demo):
    for path in OUTPUTS:
        assert (demo / path).stat().st_size > 0, path
    for stem in TABLES:
        assert (demo / f"{stem}.md").exists() and (demo / f"{stem}.tex").exists()
    for stem in FIGURES:
        assert all((demo / f"{stem}.{suffix}").exists() for suffix in PLOT_SUFFIXES)


def test_each_claim_shows_its_target_and_cost(html):
    assert html.count("180 runs") >= 2 and "<code>snakemake claim-few-shot</code>: 180 runs" in html


def test_every_output_has_a_caption():
    from pathlib import Path

    for caption in OUTPUTS.values():
        assert Path("bench/report/templates", caption).read_text().strip(), caption


def test_the_page_loads_no_other_file(html):
    for tag, attributes in Tags(html).tags:
        assert tag not in ("iframe", "object", "embed", "form")
        assert tag != "script" or attributes == {"type": "module"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "poster", "srcset"):
            target = attributes.get(name) or ""
            assert target.startswith(("#", "data:", "runs/", "../figures/", "https://arxiv.org/abs/")) or not target, (
                tag,
                target[:80],
            )
    style = html[html.index("<style>") : html.index("</style>")]
    assert "@import" not in style and "url(" not in style


def test_tags_close_in_order_and_ids_are_unique(html):
    parsed = Tags(html)
    assert parsed.open == []
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_link_has_a_target(demo, html):
    parsed = Tags(html)
    ids = {attributes.get("id") for _, attributes in parsed.tags}
    links = [a["href"] for tag, a in parsed.tags if tag == "a"]
    targets = {link[1:] for link in links if link.startswith("#")}
    assert len(targets) > 10 and targets <= ids
    pages = {link for link in links if link.startswith("runs/")}
    assert pages == {f"runs/{row.run}.html" for row in read_scores(demo / "scores.csv").runs}
    files = {link for link in links if link.startswith("../figures/")}
    assert {"../figures/complexity.pdf", "../figures/complexity.svg", "../figures/samples_fewshot.png"} <= files
    assert all((demo / "report" / link).is_file() for link in pages | files)


def test_a_number_links_to_its_run_protocol_and_command(demo, html):
    assert f'<a href="#of-fastgan-sle--{EMOJI}"><span>301.6</span></a><small>300.0 and 303.3</small>' in html
    row = html[html.index(f'id="of-fastgan-sle--{EMOJI}"') :]
    assert f'<a href="runs/fastgan-sle/{EMOJI}/seed0.html">' in row[: row.index("</tr>")]
    group = run_page_text(demo, f"fastgan-sle/{EMOJI}/seed0")
    folder = f"results/demo/runs/fastgan-sle/{EMOJI}/seed0"
    assert f"slim-bench train --run {folder}/run.json --out {folder}" in group
    assert f"slim-bench evaluate --run {folder}/run.json --out {folder}/scores" in group
    assert FD in group and "300.0" in group


def test_the_page_lists_untested_comparisons_and_failures(html):
    assert html.count("not tested at this scale") >= 5
    assert "not finite after 3 rollbacks: loss_d at step 120" in html
    assert "not tested (2 seeds)" in html
    assert "supported" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def test_intervals_over_test_items_are_labelled_as_such(demo):
    assert "86.00 … 88.00 (n = 2000)" in run_page_text(demo, f"resnet14-w16/{FASHION}/seed0")
    assert "(n = 4)" in run_page_text(demo, f"singan/{PHOTO}/seed0")


def test_the_median_is_shown_next_to_the_mean(demo):
    group = run_page_text(demo, f"singan/{PHOTO}/seed0")
    assert '<th scope="col" class="num">median</th>' in group
    assert '<td class="num"><span>0.400</span></td><td class="num"><span>0.405</span></td>' in group
    assert "median" not in run_page_text(demo, f"fastgan-sle/{EMOJI}/seed0")


def test_a_dataset_with_another_protocol_is_on_the_page(tmp_path):
    """Fashion-MNIST is scored at full size and a user's folder as a centre crop, and the page has tables of both."""
    scale_dir = tmp_path / "results" / "demo"
    for dataset, view in ((FASHION, "whole32"), ("own", "centre-crop0.875-bilinear32")):
        for name in ("resnet14-slim-w16", "resnext14-w16", "resnet14-w16"):
            for seed in range(2):
                run = run_description("demo", "classification", name, dataset, seed, ["top1"])
                classes = {"per_class": [80.0, 90.0], "confusion": [[80, 20], [10, 90]]}
                protocol = f"top1/{view}/last/test2000"
                write_score(write_run(scale_dir, run), "top1", 80.0 + seed, protocol=protocol, details=classes)
    collect(scale_dir)
    render(scale_dir)
    text = (scale_dir / "report" / "index.html").read_text()
    assert all((scale_dir / path).exists() for path in OUTPUTS)
    assert "top1/whole32/last/test2000" in text and "top1/centre-crop0.875-bilinear32/last/test2000" in text
    assert "2 datasets" not in (scale_dir / "tables" / "paired.md").read_text()  # no significance test combines them


def test_text_from_runs_is_escaped(html):
    assert html.count("<script") == 1 and "&lt;script&gt;" in html


def test_an_empty_scale_has_a_page(tmp_path):
    scale_dir = tmp_path / "results" / "demo"
    scale_dir.mkdir(parents=True)
    collect(scale_dir)
    render(scale_dir)
    assert all((scale_dir / path).exists() for path in OUTPUTS)


def test_the_report_imports_no_heavy_package():
    code = (
        "import sys; from bench.report.page import OUTPUTS; assert 'pandas' not in sys.modules and OUTPUTS;"
        "import bench.report.context, bench.report.run_cards, bench.report.read.collect;"
        "assert not sys.modules.keys() & {'torch', 'snakemake', 'dvc', 'huggingface_hub'}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_inlined_figures_use_the_colours_of_the_page():
    svg = (
        '<?xml version="1.0"?><svg width="288pt" height="72pt" viewBox="0 0 288 72"><metadata>x</metadata>'
        '<g id="a" style="fill: #0b6e99; clip-path: url(#p1)"><use xlink:href="#a" style="stroke: #1C2024"/></g></svg>'
    )
    text, width = inline_svg(svg, "fig")
    assert width == 432 and "pt" not in text.split(">")[0] and "<metadata>" not in text
    assert 'id="fig-a"' in text and 'href="#fig-a"' in text and "url(#fig-p1)" in text
    assert "var(--slim)" in text and "var(--ink)" in text and "#0b6e99" not in text


def test_different_data_and_code_in_one_table_are_reported(tmp_path):
    from bench.report.context import _warnings

    plan = run_description("demo", "fewshot", "fastgan-sle", EMOJI, 0, ["fd_efflite0"])
    write_score(write_run(tmp_path / "demo", plan), "fd_efflite0", 1.0)
    write_score(write_run(tmp_path / "demo", plan | {"seed": 1}, code="f"), "fd_efflite0", 1.0, data_sha256="9" * 64)
    assert _warnings(collected(tmp_path / "demo")) == [
        f"{EMOJI}: runs used different versions of the dataset ({sha256_json(EMOJI)[:8]}, 99999999)",
        "fastgan-sle: runs were made by different versions of the code",
    ]
