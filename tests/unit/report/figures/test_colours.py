"""Series can be told apart with each kind of colour blindness, and by marker and line in grey.

The simulations use the matrices of Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of
color vision deficiency", IEEE TVCG 15(6), 2009, at severity 1, on linear RGB. Differences are CIEDE2000 (Sharma, Wu and
Dalal, "The CIEDE2000 color-difference formula", Color Research and Application 30(1), 2005).
"""

import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from bench.claims import load_settings
from bench.report import html
from bench.report.build import figure_makers
from bench.report.figures.style import BASELINE, MARKERS, OTHER_COLOURS, SLIM, series_styles
from tests.helpers.report_fixture import collected, make_results

VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
D65 = np.array([0.95047, 1.0, 1.08883])


def linear(colour):
    """Return linear RGB of #rrggbb."""
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def cielab(rgb):
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / D65
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


def ciede2000(first, second):
    (l1, a1, b1), (l2, a2, b2) = first, second
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    lightness, chroma, hue = (l1 + l2) / 2, (c1 + c2) / 2, (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    wave = 1 - 0.17 * np.cos(np.radians(hue - 30)) + 0.24 * np.cos(np.radians(2 * hue))
    wave += 0.32 * np.cos(np.radians(3 * hue + 6)) - 0.2 * np.cos(np.radians(4 * hue - 63))
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)
    d_l, d_c = (l2 - l1) / s_l, (c2 - c1) / (1 + 0.045 * chroma)
    d_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * wave)
    angle = 60 * np.exp(-(((hue - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(angle))
    return float(np.sqrt(d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h))


def contrast(first, second):
    lighter, darker = sorted((TO_XYZ[1] @ linear(colour) for colour in (first, second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def page_colours():
    """Return the CSS variables of the light and of the dark page."""
    css = (html.TEMPLATES / "page.css").read_text()
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in re.findall(r":root \{(.*?)\}", css, re.S))
    return {"light": light, "dark": light | dark}


NAMES = ["slim", "baseline", *(f"other{index}" for index in range(1, len(OTHER_COLOURS) + 1))]
GROUNDS = {"files": "#ffffff"} | {name: found["paper"] for name, found in page_colours().items()}
SERIES = {"files": [SLIM, BASELINE, *OTHER_COLOURS]}
SERIES |= {name: [found[variable] for variable in NAMES] for name, found in page_colours().items()}


PUBLISHED = (
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)


@pytest.mark.parametrize(("first", "second", "expected"), PUBLISHED)
def test_the_colour_difference_is_that_of_the_publication(first, second, expected):
    assert ciede2000(first, second) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("where", SERIES)
def test_each_pair_of_series_differs_in_colour(where, vision):
    seen = [cielab(VISION[vision] @ linear(colour)) for colour in SERIES[where]]
    assert min(ciede2000(a, b) for a, b in combinations(seen, 2)) >= 10


@pytest.mark.parametrize("where", SERIES)
def test_each_series_contrasts_with_its_ground(where):
    assert min(contrast(colour, GROUNDS[where]) for colour in SERIES[where]) >= 3


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_colours_of_outcomes_differ_and_are_readable(mode, vision):
    found = page_colours()[mode]
    outcomes = [found[name] for name in ("good", "bad", "warn")]
    seen = [cielab(VISION[vision] @ linear(colour)) for colour in outcomes]
    assert min(ciede2000(a, b) for a, b in combinations(seen, 2)) >= 10
    assert min(contrast(colour, found[ground]) for colour in outcomes for ground in ("paper", "raised")) >= 4.5
    assert not {found["warn"], found["good"], found["bad"]} & set(SERIES[mode])


def test_no_rule_of_the_page_uses_the_colour_of_another_series():
    rules = "".join((html.TEMPLATES / name).read_text() for name in ("page.css", "parts.css"))
    assert "var(--other" not in rules


def test_series_differ_in_marker_and_line_without_colour():
    styles = list(series_styles(["a", "b"], ["c", "d"], [f"e{index}" for index in range(60)]).values())
    assert len({(style.marker, style.line) for style in styles}) == 64
    assert len({style.marker for style in styles[:8]}) == len({style.line for style in styles[:8]}) == 8


def markers_of(points):
    """Return (colour, outline) of each point of a scatter plot."""
    colours = points.get_facecolor() if len(points.get_facecolor()) else points.get_edgecolor()
    return [(to_hex(colour), path.vertices.tobytes()) for colour, path in zip(colours, points.get_paths(), strict=True)]


@pytest.mark.parametrize("stem", ["curves_fewshot", "fd_curve", "calibration", "complexity", "scores_classification"])
def test_lines_of_one_colour_share_their_marker_and_lines_of_two_do_not(demo, stem):
    figure = figure_makers(*demo)[f"figures/{stem}"]()
    for axis in figure.axes:
        looks = {(line.get_color(), line.get_marker()) for line in axis.lines if line.get_marker() in MARKERS}
        looks |= {look for points in axis.collections for look in markers_of(points)}
        assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == len(looks) > 1


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    scale_dir = make_results(tmp_path_factory.mktemp("colours"), seeds=1)
    return collected(scale_dir), load_settings(), scale_dir
