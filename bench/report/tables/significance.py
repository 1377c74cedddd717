"""Builds the tables of comparisons: summary, paired tests and claims."""

from collections.abc import Callable, Iterator, Sequence

from bench.claims import Claim, Pair, ReportSettings
from bench.report.compare.claims import NOT_TESTED, Decision, Finding
from bench.report.compare.paired import BASELINE_BETTER, SLIM_BETTER, MatchedScores, Result, improvement, match_scores
from bench.report.compare.power import MAX_PAIRS, POWER
from bench.report.read.names import format_p, format_percent, format_value, metric_of
from bench.report.read.scores import Scores
from bench.report.tables.comparison import anchor
from bench.report.tables.table import Head, Table, TableCell, score_cell

SIGNIFICANCE_NOTE = (
    "Positive differences mean that SLIM is better. Pairs are seeds within a dataset, or datasets. Across datasets, "
    "differences in Fréchet distances are relative to the baseline. Intervals and tests need at least three pairs."
)


CLAIMS_NOTE = (
    "The t test (p after Holm's correction) decides the verdict, as pre-registered. The exact p is that of a two-sided "
    "sign-flip test without correction. It cannot be below 0.0625 for five pairs. The detectable improvement is the "
    f"smallest that the t test detects with probability {POWER:g}, at the level of Holm's first step and with the "
    "observed standard deviation."
)


def formatter(metric: str, share: bool) -> Callable[[float], str]:
    return format_percent if share else lambda value: format_value(metric, value)


def interval_text(low: float | None, high: float | None, form: Callable[[float], str]) -> str:
    return "" if low is None or high is None or low == high else f"{form(low)} … {form(high)}"


def summary_table(results: Sequence[Result], scores: Scores, settings: ReportSettings) -> Table:
    """Return one row per pair and dataset, and one row over all datasets, for the first primary metric with scores."""
    head = [Head(name, numeric=False) for name in ("dataset", "metric")]
    head += [Head("SLIM"), Head("baseline"), Head("difference"), Head("significance", numeric=False)]
    lines = []
    for task, task_settings in settings.tasks.items():
        task_scores = scores.where(task=task)
        for pair in task_settings.pairs:
            if not {pair.slim, pair.baseline} <= set(task_scores.distinct("experiment")):
                continue
            pair_results = [r for r in results if (r.task, r.pair, r.weights) == (task, pair, "last")]
            together = [r for r in pair_results if r.unit == "dataset"]
            together = [r for r in together if r.metric == together[0].metric]
            lines += [_finished_line(r, task_settings.title, settings.alpha) for r in together]
            for dataset in task_scores.where(experiment=pair.slim).distinct("dataset"):
                found = next((r for r in pair_results if r.dataset == dataset), None)
                if found:
                    lines.append(_finished_line(found, task_settings.title, settings.alpha))
                else:
                    lines.append(_unfinished_line(pair, dataset, task_scores, task_settings.title))
    return Table("SLIM compared with its baselines", tuple(head), tuple(lines))


def _finished_line(result: Result, title: str, alpha: float) -> tuple[TableCell, ...]:
    pair, task = result.pair, result.task
    sides = zip((result.slim_mean, result.baseline_mean), (pair.slim, pair.baseline), strict=True)
    link = (lambda name: anchor(name, result.dataset)) if result.unit == "seed" else (lambda name: task)
    outcome, count = result.significance(alpha), "" if metric_of(result.metric).constant else result.count
    winner = {SLIM_BETTER: pair.slim, BASELINE_BETTER: pair.baseline}.get(outcome)
    values = [
        TableCell(format_value(result.metric, value), name, link(name), count=count, bold=name == winner)
        for value, name in sides
    ]
    label = score_cell(result.metric, result.protocol)
    gain = result.paired.mean
    form = formatter(result.metric, result.share)
    interval = interval_text(result.paired.low, result.paired.high, form)
    note = f"95 % CI {interval}" if interval else ""
    better = TableCell("–" if gain is None else _better(gain, form), note)
    return (
        TableCell(result.dataset, title, task, "text"),
        label,
        *values,
        better,
        _significance_cell(result, alpha),
    )


def _significance_cell(result: Result, alpha: float) -> TableCell:
    """Return a cell with the outcome of the test, and below the outcome the training conditions that differ."""
    return TableCell(result.significance(alpha), "" if result.conflict else "; ".join(result.differs), css_class="text")


def _unfinished_line(pair: Pair, dataset: str, scores: Scores, title: str) -> tuple[TableCell, ...]:
    words = []
    for experiment in (pair.slim, pair.baseline):
        states = set(scores.runs.where(experiment=experiment, dataset=dataset).distinct("status"))
        word = "FAILED" if states == {"failed"} else "MISSING"
        words.append(TableCell(word, experiment, anchor(experiment, dataset), "word"))
    name = TableCell(dataset, title, scores[0].task, "text")
    return name, TableCell("–"), *words, TableCell("–"), TableCell("not tested", css_class="text")


def paired_table(results: Sequence[Result], scores: Scores, settings: ReportSettings) -> Table:
    """Return all paired comparisons, then the planned comparisons that lack the scores of one or both sides.

    With fewer than three pairs, intervals, effect size and p are empty.
    """
    head = [Head(name, numeric=False) for name in ("dataset", "SLIM", "baseline", "metric", "weights")]
    head += [Head(name) for name in ("pairs", "difference", "95 % CI", "Hedges' g", "p", "p (Holm)")]
    head += [Head("significance", numeric=False)]
    lines = []
    for r in results:
        form = formatter(r.metric, r.share)
        effect = "" if r.paired.effect is None else f"{r.paired.effect:.2f}".replace("-", "−")
        label = score_cell(r.metric, r.protocol)
        gain = "" if r.paired.mean is None else form(r.paired.mean)
        texts = [r.weights, r.count, gain, interval_text(r.paired.low, r.paired.high, form), effect]
        texts += [format_p(r.paired.p), format_p(r.p_holm)]
        names = [TableCell(name) for name in (r.dataset, r.pair.slim, r.pair.baseline)]
        values = [TableCell(text) for text in texts]
        lines.append((*names, label, *values, _significance_cell(r, settings.alpha)))
    lines += [
        (*line, *(TableCell("") for _ in head[len(line) : -1]), word)
        for line, word in _unpaired(results, scores, settings)
    ]
    return Table("Paired comparisons", tuple(head), tuple(lines), SIGNIFICANCE_NOTE)


def _unpaired(
    results: Sequence[Result], scores: Scores, settings: ReportSettings
) -> Iterator[tuple[tuple[TableCell, ...], TableCell]]:
    """Yield the first cells and the status cell of each planned comparison that has no pair of finished scores."""
    found = {(r.pair, r.dataset, r.metric) for r in results if r.weights == "last"}
    for task, task_settings in settings.tasks.items():
        task_scores = scores.where(task=task, weights="last")
        for pair in task_settings.pairs:
            for dataset in task_scores.where(experiment=pair.slim).distinct("dataset"):
                for metric in task_settings.primary:
                    rows = task_scores.where(experiment=(pair.slim, pair.baseline), dataset=dataset, metric=metric)
                    both = {pair.slim, pair.baseline} <= set(rows.distinct("experiment"))
                    states = set(rows.distinct("status")) - {"ok"}
                    if both and states and (pair, dataset, metric) not in found:
                        names = (dataset, pair.slim, pair.baseline, metric_of(metric).label, "last")
                        word = "FAILED" if states == {"failed"} else "MISSING"
                        reasons = dict.fromkeys(row.reason for row in rows if row.reason)
                        yield (
                            tuple(TableCell(name) for name in names),
                            TableCell(word, "; ".join(reasons), css_class="word"),
                        )


def claim_table(decision: Decision) -> Table:
    """Return the comparisons of one claim with their results and criteria."""
    head = [Head(name, numeric=False) for name in ("metric", "outcome", "SLIM", "baseline")]
    head += [Head("improvement"), Head("95 % CI"), Head("p (Holm)"), Head("p (exact)")]
    head += [Head("detectable improvement", numeric=False)]
    head += [Head(name, numeric=False) for name in ("data", "criterion")]
    lines = tuple(_claim_line(finding) for finding in decision.findings)
    row_classes = tuple("control" if f.comparison.role == "control" else "" for f in decision.findings)
    return Table(decision.claim.title, tuple(head), lines, row_classes=row_classes)


def _claim_line(finding: Finding) -> tuple[TableCell, ...]:
    c, paired = finding.comparison, finding.paired
    form = formatter(c.metric, c.measure != "difference")
    sides = []
    for mean, name in ((finding.slim_mean, c.slim), (finding.baseline_mean, c.baseline)):
        sides.append(TableCell(format_value(c.metric, mean) if mean is not None else "MISSING", name))
    gain = form(paired.mean) if paired.mean is not None else "–"
    number = len(c.sets)
    found = f"{finding.datasets_found} of {number} datasets, {finding.seeds} seeds"
    needed = f"improvement > {form(c.margin)}"
    role = "control, not part of the verdict" if c.role == "control" else ""
    entries = [
        score_cell(c.metric, c.protocol, role),
        _outcome(finding),
        *sides,
        TableCell(gain),
    ]
    entries += [TableCell(interval_text(paired.low, paired.high, form)), TableCell(format_p(finding.p_holm))]
    entries += [TableCell(format_p(finding.p_exact)), TableCell(_power_text(finding, form), css_class="text")]
    return *entries, TableCell(found), TableCell(needed)


def _power_text(finding: Finding, form: Callable[[float], str]) -> str:
    """Return the smallest detectable improvement and how many more pairs the observed improvement needs."""
    if finding.comparison.measure == "constant":
        return "no test"
    power = finding.power
    if power is None:
        return "not computable"
    if power.more == 0:
        return form(power.detectable)
    more = f"more than {MAX_PAIRS}" if power.more is None else f"{power.more} more"
    return f"{form(power.detectable)}; {more} {finding.unit}s for the observed improvement"


def _outcome(finding: Finding) -> TableCell:
    """Return a cell with the verdict on one comparison, its reason, and p for a control.

    The cell of an untested comparison is empty.
    """
    if finding.verdict == NOT_TESTED:
        return TableCell("")
    notes = [finding.reason] if finding.reason else []
    if finding.comparison.role == "control" and finding.paired.p is not None:
        p = format_p(finding.paired.p)
        notes[:0] = [f"control: p {p if p.startswith('<') else f'= {p}'}, not corrected"]
    return TableCell(finding.verdict, "; ".join(notes), css_class="outcome")


def descriptive_table(claim: Claim, scores: Scores, settings: ReportSettings) -> Table:
    """Return scores for a claim at a scale without verdicts: all pairs of its tasks on all datasets with scores."""
    head = [Head("dataset", numeric=False), Head("metric", numeric=False), Head("SLIM"), Head("baseline")]
    lines = []
    for task in claim.tasks:
        task_scores = scores.where(task=task)
        for pair in settings.tasks[task].pairs:
            for dataset in task_scores.where(experiment=pair.slim).distinct("dataset"):
                for metric in claim.shown:
                    matched = match_scores(task_scores, settings, pair, metric, dataset)
                    if matched:
                        lines.append(_descriptive_line(matched, pair, metric))
    return Table(f"{claim.title}, at this scale", (*head, Head("difference"), Head("seeds")), tuple(lines))


def _descriptive_line(matched: MatchedScores, pair: Pair, metric: str) -> tuple[TableCell, ...]:
    means = (None, None) if matched.conflict else matched.means
    sides = zip(means, (pair.slim, pair.baseline), strict=True)
    values = [TableCell(format_value(metric, v), name, anchor(name, matched.dataset)) for v, name in sides]
    gain = matched.conflict or _better(improvement(*matched.means, matched.direction, False), formatter(metric, False))
    label = score_cell(metric, matched.protocol)
    name = TableCell(matched.dataset, css_class="text")
    differs = "" if matched.conflict else "; ".join(matched.differs)
    return name, label, *values, TableCell(gain, differs), TableCell(str(len(matched.slim)))


def _better(gain: float, form: Callable[[float], str]) -> str:
    return "equal" if gain == 0 else f"{'better' if gain > 0 else 'worse'} by {form(abs(gain))}"


def claims_table(decisions: Sequence[Decision]) -> Table:
    """Return one table of all claims, for the table files."""
    first = claim_table(decisions[0]).head if decisions else ()
    lines = [
        (TableCell(decision.claim.title), TableCell(decision.verdict), *line)
        for decision in decisions
        for line in claim_table(decision).rows
    ]
    head = (Head("claim", numeric=False), Head("verdict", numeric=False), *first)
    return Table("Claims of the paper", head, tuple(lines), CLAIMS_NOTE)
