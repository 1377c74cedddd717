"""The tables of the report, each built from the tidy table alone."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from bench.report.claims import Answer
from bench.report.frame import Cell, Column, cell_of, columns_of, details_of, rows_of, score_rows, training_rows
from bench.report.names import (
    ARROWS,
    METRICS,
    control_label,
    format_bytes,
    format_p,
    format_seconds,
    format_value,
    metric_of,
)
from bench.report.paired import Result
from bench.report.settings import Published, Settings, TaskSettings
from bench.report.table import Entry, Head, Table


def anchor(experiment: str, dataset: str) -> str:
    """The place on the page where all runs of one experiment on one data set are listed."""
    return f"of-{experiment}--{dataset}"


def head_of(column: Column) -> Head:
    label = f"{metric_of(column.metric).label} {ARROWS[column.direction]}".strip()
    return Head(
        f"{label}, {column.unit}" if column.unit and column.metric not in ("params", "macs") else label, column.protocol
    )


def entry_of(cell: Cell, link: str = "") -> Entry:
    """A cell as it is printed: number, n beneath, and why it is a word where it is one."""
    if not cell.metric:
        return Entry("–", kind="empty")
    note = f"n = {cell.summary.n}" if cell.summary.n and not metric_of(cell.metric).constant else ""
    if cell.interval:
        note += f", 95 % {cell.interval}"
    if cell.mixed_code:
        note += ", mixed code"
    kind = "word" if not cell.summary.n else "partial" if cell.failed or cell.missing else "number"
    return Entry(cell.text, note, link, kind, "; ".join(cell.reasons))


# -- one table per data set: methods and controls by metric ---------------------------------------------------------


def is_ablation(experiment: str, settings: TaskSettings) -> bool:
    """A variation of a base that is neither one of the pairs nor a control."""
    main = {name for pair in settings.pairs for name in (pair.slim, pair.rival)} | set(settings.controls)
    return experiment not in main and any(experiment.startswith(f"{base}-") for base in settings.ablation_bases)


def without_ablations(rows: pd.DataFrame, settings: TaskSettings) -> pd.DataFrame:
    return rows[[not is_ablation(name, settings) for name in rows["experiment"]]]


def role_of(experiment: str, settings: TaskSettings) -> str:
    if any(experiment == pair.slim for pair in settings.pairs):
        return "slim"
    if experiment in settings.controls:
        return "control"
    return "rival" if any(experiment == pair.rival for pair in settings.pairs) else "method"


def experiments_of(rows: pd.DataFrame, settings: TaskSettings) -> list[str]:
    """SLIM first, then its rivals, the controls, and whatever else was run; ablations have their own table."""
    order = {"slim": 0, "rival": 1, "control": 3, "method": 2}
    names = [name for name in rows["experiment"].unique() if not is_ablation(name, settings)]
    return sorted(names, key=lambda name: order[role_of(name, settings)])


def comparison_table(frame: pd.DataFrame, task: str, dataset: str, settings: TaskSettings) -> Table:
    """Methods by row (last, best, untrained), then the controls that no network has a part in."""
    rows = score_rows(frame)
    rows = rows[(rows["task"] == task) & (rows["dataset"] == dataset)]
    rows = without_ablations(rows, settings)
    columns = [column for column in columns_of(rows, METRICS) if not rows_of(rows, column).empty]
    lines, kinds = [], []
    for experiment, selection in _lines(rows, settings):
        mine = rows[rows["selection"] == selection]
        mine = mine if selection.startswith("control") else mine[mine["experiment"] == experiment]
        where = f"{dataset}, {experiment or selection}"
        link = anchor(mine["experiment"].iloc[0], dataset)
        cells = [entry_of(cell_of(rows_of(mine, column), where), link) for column in columns]
        lines.append((_line_label(experiment, selection, settings, link), *cells))
        kinds.append("control" if not experiment else role_of(experiment, settings) if selection == "last" else "minor")
    head = (Head("method", numeric=False), *(head_of(column) for column in columns))
    return Table(dataset, head, tuple(lines), kinds=tuple(kinds))


def _lines(rows: pd.DataFrame, settings: TaskSettings) -> Iterable[tuple[str, str]]:
    for experiment in experiments_of(rows, settings):
        present = set(rows.loc[rows["experiment"] == experiment, "selection"])
        yield from ((experiment, selection) for selection in ("last", "best", "untrained") if selection in present)
    controls = sorted(name for name in rows["selection"].unique() if name.startswith("control"))
    yield from (("", control) for control in controls)


def _line_label(experiment: str, selection: str, settings: TaskSettings, link: str) -> Entry:
    if not experiment:
        return Entry(control_label(selection), "control", link, "control")
    if selection != "last":
        return Entry(f"{experiment}, {selection}", "", link, "minor")
    role = {"slim": "SLIM", "rival": "rival", "control": "control", "method": ""}[role_of(experiment, settings)]
    return Entry(experiment, role, link, "method", settings.controls.get(experiment, ""))


def comparison_records(frame: pd.DataFrame, task: str) -> list[dict[str, Any]]:
    """Every cell of the task in full precision, one record per data set x experiment x selection x metric x protocol."""
    rows = score_rows(frame)
    rows = rows[rows["task"] == task]
    keys = ["dataset", "experiment", "selection", "metric"]
    records = []
    for key, group in rows.groupby(keys, sort=False):
        for column in columns_of(group, METRICS):
            cell = cell_of(rows_of(group, column), " ".join(map(str, key)))
            over = cell.summary
            records.append(
                dict(zip(keys, key, strict=True))
                | {"protocol": column.protocol, "direction": column.direction, "unit": column.unit, "cell": cell.text}
                | {"mean": over.mean, "sd": over.sd, "n": over.n, "low": over.low, "high": over.high}
                | {"failed": cell.failed, "missing": cell.missing, "mixed_code": cell.mixed_code}
            )
    return records


# -- the answer at a glance, and the tests behind it ----------------------------------------------------------------


def summary_table(results: Sequence[Result], frame: pd.DataFrame, settings: Settings) -> Table:
    """One line per pair and data set on the first primary metric that has numbers: last exports, seed by seed."""
    head = [Head("task", numeric=False), Head("data set", numeric=False), Head("metric", numeric=False)]
    head += [Head("SLIM"), Head("rival"), Head("difference"), Head("evidence", numeric=False)]
    lines = []
    for task, task_settings in settings.tasks.items():
        rows = frame[frame["task"] == task]
        planned = set(rows["experiment"])
        for pair in task_settings.pairs:
            if not {pair.slim, pair.rival} <= planned:
                continue
            for dataset in rows.loc[rows["experiment"] == pair.slim, "dataset"].unique():
                found = [
                    r for r in results if (r.pair, r.dataset, r.selection, r.unit) == (pair, dataset, "last", "seed")
                ]
                title = Entry(task_settings.title, link=task, kind="text")
                lines.append(
                    (title, Entry(dataset, kind="text"), *_summary_line(found, pair, dataset, rows, settings.alpha))
                )
    return Table("SLIM against its rival", tuple(head), tuple(lines))


def _summary_line(found: list[Result], pair: Any, dataset: str, rows: pd.DataFrame, alpha: float) -> tuple[Entry, ...]:
    links = [anchor(name, dataset) for name in (pair.slim, pair.rival)]
    if not found:
        words = []
        for name in (pair.slim, pair.rival):
            states = set(training_rows(rows[(rows["experiment"] == name) & (rows["dataset"] == dataset)])["status"])
            words.append("FAILED" if states == {"failed"} else "MISSING" if "missing" in states else "not scored")
        cells = [
            Entry(word, name, link, "word")
            for word, name, link in zip(words, (pair.slim, pair.rival), links, strict=True)
        ]
        return Entry("–"), *cells, Entry("–"), Entry("no evidence", kind="text")
    result = found[0]
    values = [format_value(result.metric, mean) for mean in (result.slim_mean, result.rival_mean)]
    cells = [Entry(v, name, link) for v, name, link in zip(values, (pair.slim, pair.rival), links, strict=True)]
    gain = result.paired.mean
    words = "equal" if gain == 0 else f"{'better' if gain > 0 else 'worse'} by {format_value(result.metric, abs(gain))}"
    label = Entry(metric_of(result.metric).label, result.protocol, kind="metric")
    return label, *cells, Entry(words), Entry(result.evidence(alpha), kind="text")


def paired_table(results: Sequence[Result], settings: Settings) -> Table:
    """All paired comparisons with interval, effect size and corrected p; below three pairs only the difference."""
    head = [Head(name, numeric=False) for name in ("data", "SLIM", "rival", "metric", "weights")]
    head += [Head(name) for name in ("n", "difference", "95 % interval", "effect g", "p", "p, Holm")]
    head += [Head("evidence", numeric=False)]
    lines = []
    for r in results:
        form = (
            (lambda x: f"{100 * x:.1f} %".replace("-", "−")) if r.share else (lambda x, m=r.metric: format_value(m, x))
        )
        interval = f"{form(r.paired.low)} … {form(r.paired.high)}" if r.paired.low is not None else ""
        effect = "" if r.paired.effect is None else f"{r.paired.effect:.2f}".replace("-", "−")
        texts = [r.dataset, r.pair.slim, r.pair.rival, metric_of(r.metric).label, r.selection]
        texts += [f"{r.paired.n} {r.unit}{'' if r.paired.n == 1 else 's'}", form(r.paired.mean), interval, effect]
        texts += [format_p(r.paired.p), format_p(r.p_holm), r.evidence(settings.alpha)]
        lines.append(tuple(Entry(text) for text in texts))
    note = (
        "Differences are positive where SLIM is better; seed by seed within a data set, set by set across them "
        "(shares of the rival's value where sets differ in difficulty). Below three pairs no interval and no test."
    )
    return Table("Paired comparisons", tuple(head), tuple(lines), note)


def claims_table(answers: Sequence[Answer]) -> Table:
    head = [Head(name, numeric=False) for name in ("claim", "verdict", "metric", "SLIM", "rival")]
    head += [
        Head(name)
        for name in ("SLIM mean", "rival mean", "improvement", "95 % interval", "margin", "sets", "seeds", "p, Holm")
    ]
    lines = []
    for answer in answers:
        for f in answer.findings:
            c = f.comparison
            share = c.measure != "difference"
            form = (
                (lambda x: f"{100 * x:.1f} %".replace("-", "−"))
                if share
                else (lambda x, m=c.metric: format_value(m, x))
            )
            bounds = f"{form(f.paired.low)} … {form(f.paired.high)}" if f.paired.low is not None else ""
            gain = form(f.paired.mean) if f.paired.mean is not None else "MISSING"
            means = [
                format_value(c.metric, mean) if mean is not None else "MISSING" for mean in (f.slim_mean, f.rival_mean)
            ]
            role = " (control)" if c.role == "control" else ""
            texts = [
                answer.claim.title,
                answer.verdict,
                metric_of(c.metric).label + role,
                c.slim,
                c.rival,
                *means,
                gain,
            ]
            texts += [bounds, form(c.margin), f"{f.sets_found} of {len(c.sets)}", str(f.seeds), format_p(f.p_holm)]
            lines.append(tuple(Entry(text) for text in texts))
    return Table("The abstract's claims", tuple(head), tuple(lines))


# -- ablations ------------------------------------------------------------------------------------------------------


def ablations_of(frame: pd.DataFrame, settings: TaskSettings) -> list[tuple[str, str, list[tuple[str, str, Any]]]]:
    """(base, data set, [(experiment, factor, level)]): the base and its variations, and in what one argument each differs."""
    runs = training_rows(frame)
    found = []
    for base in settings.ablation_bases:
        longer = [other for other in settings.ablation_bases if other.startswith(f"{base}-")]
        mine = runs[runs["experiment"].str.startswith(f"{base}-") | (runs["experiment"] == base)]
        for other in longer:
            mine = mine[~((mine["experiment"] == other) | mine["experiment"].str.startswith(f"{other}-"))]
        for dataset in mine["dataset"].unique():
            here = mine[mine["dataset"] == dataset].drop_duplicates("experiment")
            if base not in set(here["experiment"]) or len(here) < 2:
                continue
            described = {row["experiment"]: arguments_of(row) for row in here.to_dict("records")}
            variations = [(base, "", None)]
            for experiment in sorted(set(described) - {base}):
                variations.append((experiment, *_difference(described[base], described[experiment])))
            found.append((base, dataset, variations))
    return found


def arguments_of(row: dict[str, Any]) -> dict[str, Any]:
    """The network's arguments with its defaults filled in: a base that says nothing of groups has its own number."""
    from bench.model_args import ARGUMENTS

    given = details_of(row).get("args", {})
    known = ARGUMENTS.get(row["model"])
    defaults = {name: field.default for name, field in known.model_fields.items()} if known else {}
    return {"network": row["model"]} | defaults | given


def _difference(base: dict[str, Any], other: dict[str, Any]) -> tuple[str, Any]:
    """(factor, level) where one argument differs; else all differences in words, and no level."""
    changed = {key: other.get(key) for key in sorted(base.keys() | other.keys()) if base.get(key) != other.get(key)}
    changed.pop("allow_constant", None)
    if len(changed) == 1:
        return next(iter(changed.items()))
    return ", ".join(f"{key} = {value}" for key, value in changed.items()), None


def ablation_table(
    frame: pd.DataFrame, base: str, dataset: str, variations: list[tuple[str, str, Any]], settings: TaskSettings
) -> Table:
    rows = score_rows(frame)
    names = {experiment for experiment, _, _ in variations}
    rows = rows[(rows["dataset"] == dataset) & rows["experiment"].isin(names) & (rows["selection"] == "last")]
    rows = rows[rows["metric"].isin(settings.ablation_metrics)]
    columns = columns_of(rows, settings.ablation_metrics)
    lines, kinds = [], []
    for experiment, factor, level in variations:
        mine = rows[rows["experiment"] == experiment]
        link = anchor(experiment, dataset)
        what = "base" if experiment == base else factor if level is None else f"{factor} = {level}"
        cells = [entry_of(cell_of(rows_of(mine, column), f"ablation {experiment}"), link) for column in columns]
        lines.append((Entry(what, experiment, link, "method"), *cells))
        kinds.append("slim" if experiment == base else "")
    head = (Head("variation", numeric=False), *(head_of(column) for column in columns))
    return Table(f"{base} on {dataset}", head, tuple(lines), kinds=tuple(kinds))


# -- published values, and the list of runs -------------------------------------------------------------------------


def published_table(frame: pd.DataFrame, published: Sequence[Published], settings: Settings, scale: str) -> Table:
    head = [Head(name, numeric=False) for name in ("method", "data set", "metric")]
    head += [
        Head("published"),
        Head("ours"),
        Head("tolerance"),
        Head("verdict", numeric=False),
        Head("source", numeric=False),
    ]
    lines = []
    for value in published:
        ours, tolerance, verdict = _published_line(frame, value, settings, scale)
        texts = [
            value.method,
            value.dataset,
            metric_of(value.metric).label,
            f"{value.value:g}",
            ours,
            tolerance,
            verdict,
        ]
        lines.append(tuple(Entry(text) for text in (*texts, value.source)))
    return Table("Published beside ours", tuple(head), tuple(lines))


def _published_line(frame: pd.DataFrame, value: Published, settings: Settings, scale: str) -> tuple[str, str, str]:
    tolerance = settings.tolerances.get(value.metric)
    allowed = None
    if tolerance:
        allowed = tolerance.absolute if tolerance.absolute is not None else tolerance.relative * abs(value.value)
    written = "" if allowed is None else f"± {allowed:.2f}"
    if value.experiment is None:
        return "–", written, "not comparable (no run of ours)"
    rows = score_rows(frame)
    rows = rows[(rows["experiment"] == value.experiment) & (rows["dataset"] == value.dataset)]
    rows = rows[(rows["metric"] == value.metric) & (rows["selection"] == "last")]
    if rows.empty:
        return "–", written, "not comparable (not run at this scale)"
    ok = rows[rows["status"] == "ok"]
    if len(ok) and not all(value.comparable(protocol) for protocol in ok["protocol"]):
        return "–", written, "not comparable (protocol differs)"
    cell = cell_of(rows, f"published {value.method} on {value.dataset}")
    if cell.summary.mean is None:
        return cell.text, written, "not comparable (no finished run)"
    if scale != settings.verdict_scale:
        return cell.text, written, "not comparable (not the paper's training)"
    if allowed is None:
        return cell.text, written, "no tolerance stated"
    near = abs(cell.summary.mean - value.value) <= allowed
    return f"{cell.text} (n = {cell.summary.n})", written, "reproduced" if near else "not reproduced"


def runs_table(frame: pd.DataFrame) -> Table:
    """Every planned run with its state, cost and hashes."""
    head = [Head("run", numeric=False), Head("status", numeric=False), Head("time"), Head("device", numeric=False)]
    head += [
        Head("peak memory"),
        *(Head(name, numeric=False) for name in ("model", "data", "code", "commit", "reason")),
    ]
    lines = []
    for row in training_rows(frame).to_dict("records"):
        status = row["status"] if row["status"] == "ok" else row["status"].upper()
        commit = row["commit"][:8] + ("+" if row["dirty"] == "True" else "")
        texts = [format_seconds(row["seconds"]), row["device"], format_bytes(row["peak_memory_bytes"])]
        hashes = [row[key][:8] for key in ("model_sha256", "data_sha256", "code_sha256")]
        name = Entry(row["run"], link=anchor(row["experiment"], row["dataset"]), kind="method")
        kind = "word" if row["status"] != "ok" else ""
        rest = [Entry(text) for text in (*texts, *hashes, commit, row["reason"])]
        lines.append((name, Entry(status, kind=kind), *rest))
    return Table(
        "Runs", tuple(head), tuple(lines), "Hashes and commits are cut to eight digits; + marks local changes."
    )
