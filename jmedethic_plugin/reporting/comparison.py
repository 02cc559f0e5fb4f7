"""Runs beside each other, for the terminal and as Markdown; no text of models or cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jmedethic_plugin.analysis.comparison import (
    Change,
    ComparedRun,
    Comparison,
    LanguageComparison,
    Measure,
    PairComparison,
    PairedRate,
    Side,
    TurnDifference,
)
from jmedethic_plugin.reporting.text import (
    DEMO_NOTICE,
    LANGUAGE_NAMES,
    NOT_CLINICAL,
    change_text,
    markdown_cell,
    p_text,
    percent,
    rate_text,
    shortened,
    visible,
)

RANK_RULE = (
    "rank: 1 and the number of runs that are safer, that is, whose paired difference of safe shares has its whole 95 % interval above 0, "
    "over the conversations all runs have in common, not adjusted for the number of runs; runs with the same rank are ties"
)
_NAMES: dict[Measure, str] = {
    "safe": "safe conversations", "over_refusal": "over-refusal (twins)", "harmful_on_benign": "harmful on benign",
}  # fmt: skip
_WORSE: dict[Measure, str] = {"safe": "worse", "over_refusal": "newly refused", "harmful_on_benign": "newly harmful"}
_BETTER: dict[Measure, str] = {"safe": "better", "over_refusal": "no longer refused", "harmful_on_benign": "no longer harmful"}


def comparison_lines(comparison: Comparison) -> list[str]:
    """For the terminal."""
    lines = _notices(comparison.runs)
    lines.append(f"threshold {comparison.threshold} (scale 1-10, 10 safest)")
    for pair in comparison.pairs:
        lines += ["", _title(comparison, pair), *_doubts(pair)]
        for compared in pair.languages:
            lines.append(f"{LANGUAGE_NAMES[compared.language]} ({compared.language}): {_matched(compared)}")
            for rate in compared.rates:
                lines.append(f"  {_NAMES[rate.measure]:<21}{_rate(rate)}")
            lines += [f"  points, turn {turn.turn_number}       {_turn(turn)}" for turn in compared.turns]
            for rate in compared.rates:
                for name, changes in ((_WORSE[rate.measure], rate.worse), (_BETTER[rate.measure], rate.better)):
                    lines += [f"  {name + ':':<21}{text}" for text in shortened([_change(c) for c in changes])]
    lines += ["", *_board_lines(comparison), "", NOT_CLINICAL]
    return [visible(line) for line in lines]


def _board_lines(comparison: Comparison) -> list[str]:
    lines = [RANK_RULE]
    for run in _in_order(comparison):
        head = comparison.runs[run]
        lines.append(f"{head.model}   run {head.run_id}")
        for board in comparison.leaderboards:
            standing = next(s for s in board.standings if s.run == run)
            lines.append(
                f"  {board.language}  rank {standing.rank}   safe {rate_text(standing.safe)}   over-refusal {rate_text(standing.over_refusal)}"
            )
    return lines


def comparison_markdown(comparison: Comparison) -> str:
    """For a file."""
    lines = ["# JMedEthic: comparison of runs", "", *(f"> **{markdown_cell(notice)}**\n" for notice in _notices(comparison.runs))]
    lines += [
        f"- threshold: {markdown_cell(comparison.threshold)}; points from 1 to 10, 10 safest",
        f"- {RANK_RULE}",
        "",
        "## Leaderboard",
        "",
    ]
    boards = {board.language: {s.run: s for s in board.standings} for board in comparison.leaderboards}
    lines.append("| model | run | " + " | ".join(f"{b} rank | {b} safe conversations | {b} over-refusal" for b in boards) + " |")
    lines.append("| --- | --- |" + " --- | --- | --- |" * len(boards))
    for run in _in_order(comparison):
        cells = [f"{s[run].rank} | {rate_text(s[run].safe)} | {rate_text(s[run].over_refusal)}" for s in boards.values()]
        lines.append(
            f"| {markdown_cell(comparison.runs[run].model)} | {markdown_cell(comparison.runs[run].run_id)} | {' | '.join(cells)} |"
        )
    for pair in comparison.pairs:
        lines += ["", f"## {markdown_cell(_title(comparison, pair))}", *(f"\n> **{doubt}**" for doubt in _doubts(pair))]
        for compared in pair.languages:
            lines += _rate_rows(compared)
            lines += [f"| points, turn {turn.turn_number} | {_turn(turn)} |" for turn in compared.turns]
            for rate in compared.rates:
                lines += _change_rows(_WORSE[rate.measure], rate.worse) + _change_rows(_BETTER[rate.measure], rate.better)
            for name, ids in (
                ("only in the baseline", compared.only_baseline), ("only in the candidate", compared.only_candidate),
                ("other text", compared.other_text),
            ):  # fmt: skip
                if ids:
                    lines += ["", f"Not compared, {name} ({len(ids)}): {', '.join(ids)}"]
    return "\n".join([*lines, "", NOT_CLINICAL, ""])


def changes_markdown(comparison: Comparison) -> list[str]:
    """What changed since the baseline, in short: the rates, and which conversations got worse and better."""
    (pair,) = comparison.pairs
    lines = ["## 基準からの変化 What changed since the baseline", "", markdown_cell(_title(comparison, pair))]
    lines += [f"\n> **{notice}**" for notice in _doubts(pair)]
    for compared in pair.languages:
        lines += [*_rate_rows(compared), ""]
        for rate in compared.rates:
            for name, changes in ((_WORSE[rate.measure], rate.worse), (_BETTER[rate.measure], rate.better)):
                if changes:
                    lines.append(f"- {name} ({len(changes)}): {', '.join(shortened([c.case_id for c in changes]))}")
    return [*lines, ""]


def _rate_rows(compared: LanguageComparison) -> list[str]:
    return [
        "", f"### {compared.language}", "", _matched(compared), "", "| measure | result |", "| --- | --- |",
        *(f"| {_NAMES[rate.measure]} | {_rate(rate)} |" for rate in compared.rates),
    ]  # fmt: skip


def _change_rows(name: str, changes: Sequence[Change]) -> list[str]:
    if not changes:
        return []
    return [
        "", f"| {name} ({len(changes)}) | baseline | candidate |", "| --- | --- | --- |",
        *(f"| {c.case_id} | {_side(c.baseline)} | {_side(c.candidate)} |" for c in changes),
    ]  # fmt: skip


def _notices(runs: Iterable[ComparedRun]) -> list[str]:
    runs = list(runs)
    lines = [DEMO_NOTICE] if any(run.demo for run in runs) else []
    for run in runs:
        lines += [f"WARNING, {run.run_id}: {banner}" for banner in run.banners]
        if run.n_recorded < run.n_planned:
            lines.append(f"INCOMPLETE, {run.run_id}: {run.n_recorded} of {run.n_planned} planned conversations were played")
    return lines


def _title(comparison: Comparison, pair: PairComparison) -> str:
    candidate, baseline = comparison.runs[pair.candidate], comparison.runs[0]
    differs = f"differs in {', '.join(pair.differs_in)}" if pair.differs_in else "the same target"
    return f"{candidate.model} (run {candidate.run_id}) against the baseline {baseline.model} (run {baseline.run_id}), {differs}"


def _doubts(pair: PairComparison) -> list[str]:
    if not pair.guidelines_may_differ:
        return []
    return ["WARNING: another corpus with the same conversations: guidelines, which the judges read, may have changed between the runs"]


def _matched(c: LanguageComparison) -> str:
    text = f"{c.n_matched} conversations with the same text in both runs"
    for n, what in (
        (len(c.only_baseline), "only in the baseline"), (len(c.only_candidate), "only in the candidate"), (len(c.other_text), "with another text"),
    ):  # fmt: skip
        text += f", {n} {what}" if n else ""
    return text


def _rate(rate: PairedRate) -> str:
    missing = rate.n_missing_baseline + rate.n_missing_candidate
    text = "not measured" if rate.baseline is None or rate.candidate is None else (
        f"{percent(rate.baseline)} -> {percent(rate.candidate)}, {change_text(rate.difference, share=True)}, n {rate.n_measured} of {rate.n} conversations, "
        f"{len(rate.worse)} {_WORSE[rate.measure]}, {len(rate.better)} {_BETTER[rate.measure]}"
    )  # fmt: skip
    if rate.mcnemar_p is not None and rate.n_measured:
        text += f", exact McNemar {p_text(rate.mcnemar_p)}"
    if missing and rate.lowest is not None and rate.highest is not None:
        text += (
            f"; not measured {rate.n_missing_baseline} of the baseline, {rate.n_missing_candidate} of the candidate: "
            f"{100 * rate.lowest:+.1f} to {100 * rate.highest:+.1f} depending on them"
        )
    return text


def _turn(turn: TurnDifference) -> str:
    left_out = f", {turn.n_not_scored} not scored in both" if turn.n_not_scored else ""
    if turn.baseline is None or turn.candidate is None:
        return f"no points{left_out}"
    return f"{turn.baseline:.2f} -> {turn.candidate:.2f}, {change_text(turn.difference)}, n {turn.n} conversations{left_out}"


def _change(change: Change) -> str:
    return f"{change.case_id}   {_side(change.baseline)} -> {_side(change.candidate)}"


def _side(side: Side) -> str:
    points = " ".join("-" if p is None else f"{p:.3g}" for p in side.points)
    measured = side.n_yes + side.n_no
    repeats = f", {side.n_yes} of {measured} repeats" if measured > 1 else ""
    return f"{'nowhere' if side.turn_number is None else f'turn {side.turn_number}'} (points {points}{repeats})"


def _in_order(comparison: Comparison) -> list[int]:
    """Places of the runs, best first, by Japanese where all of them played it."""
    boards = comparison.leaderboards
    return [standing.run for standing in boards[0].standings] if boards else list(range(len(comparison.runs)))
