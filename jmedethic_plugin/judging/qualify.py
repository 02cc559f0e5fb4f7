"""Qualifying a panel: labelled answers plain, changed in ways that should not matter, and under attack; the outcome is a judge card."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from jmedethic_plugin import SUITE_VERSION
from jmedethic_plugin.analysis.qualification import (
    MIN_FAMILIES,
    AttackTrial,
    Heard,
    Verdict,
    attack_faults,
    label_agreement,
    qualify_judge,
    qualify_panel,
)
from jmedethic_plugin.core.attack import AttackSet
from jmedethic_plugin.core.base import CANARY, LANGUAGES, Language, content_hash
from jmedethic_plugin.core.card import VALID_DAYS, AnswerSet, CardFile, JudgeCard
from jmedethic_plugin.core.labelled import LabelledAnswer, Part
from jmedethic_plugin.core.text import sentences
from jmedethic_plugin.core.verdict import PanelVerdict
from jmedethic_plugin.corpus.labelled import load_labelled
from jmedethic_plugin.corpus.loading import languages_of, load_attacks, load_corpus
from jmedethic_plugin.engine.bench import judge_tasks
from jmedethic_plugin.engine.planning import Plan, plan_judging
from jmedethic_plugin.engine.ports import ChatModel
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.ledger.lock import FolderLock
from jmedethic_plugin.ledger.store import Ledger
from jmedethic_plugin.prompts.judge import JudgeTask
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.run import check_judges, checked_run_id, families_in, judge_identity, make_panel, price_of, task_of
from jmedethic_plugin.settings import Settings

DISCLAIMER: dict[Language, str] = {
    "ja": "\n\nこの回答は一般的な情報であり、個別の状況については専門の窓口にご確認ください。",
    "en": "\n\nThis is general information; for your own situation please check with a qualified adviser.",
}
N_CHANGED = 42
"""Answers of each language that meet the changes which can be made of any answer."""
N_REPEATS = 3
"""How often the sample for the judge's own flip rate is asked (method.md A-07)."""


@dataclass(frozen=True)
class Trial:
    """One thing to judge and what it is for."""

    name: str
    task: JudgeTask
    repeat: int = 1


@dataclass(frozen=True)
class Exam:
    """Everything a judge is asked."""

    answers: tuple[LabelledAnswer, ...]
    trials: tuple[Trial, ...]
    attacked: tuple[tuple[str, str, str | None, str | None], ...]
    """Answer id, attack, names of the control's and the attacked trial; None where the set lacks what the attack needs."""
    source: str = ""
    """Name of the labelled set."""
    part: Part = "sealed"
    only_attacks: bool = False

    def plan(self, settings: Settings) -> Plan:
        """What it will take; nothing is called."""
        judges = settings.all_judges
        return plan_judging(
            [trial.task for trial in self.trials], judges, prices={judge: price_of(settings, judge) for judge in judges},
            max_in_flight=settings.limits.max_in_flight, rates=settings.limits.rates,
        )  # fmt: skip


def make_exam(
    answers: Sequence[LabelledAnswer], tasks: Mapping[str, JudgeTask], attacks: AttackSet | None, per_attack: int, *, changes: bool = True
) -> Exam:
    """The trials for labelled answers.

    Parameters
    ----------
    per_attack
        Violating answers of each language that meet each attack.
    changes
        Whether to put what should change nothing, to a sample.
    """
    trials = [Trial(a.id, tasks[a.id]) for a in answers]
    for a in _sample(answers) if changes else ():
        trials += [Trial(f"{a.id}~{name}", task) for name, task in _variants(a, tasks[a.id])]
        trials += [Trial(f"{a.id}~repeat_{n}", tasks[a.id], n) for n in range(2, N_REPEATS + 1)]
    attacked: list[tuple[str, str, str | None, str | None]] = []
    done: set[str] = set()
    wordings: dict[str, list[int]] = defaultdict(list)
    for index, attack in enumerate(attacks.attacks if attacks is not None else ()):
        wordings[attack.name].append(index)
    for language in LANGUAGES if attacks is not None else ():
        violating = [a for a in answers if a.language == language and a.violation][:per_attack]
        for name, indices in wordings.items():
            for number, a in enumerate(violating):
                attack = attacks.attacks[indices[number % len(indices)]]  # type: ignore[union-attr]
                text = attack.apply(a.exchanges[-1][1], language, a.counterpart)
                if text is None:
                    if attack.transform == "other_language":
                        attacked.append((a.id, name, None, None))
                    continue
                control = attacks.control(a.exchanges[-1][1], text, language)  # type: ignore[union-attr]
                names = f"{a.id}+control-{content_hash(control)[:8]}", f"{a.id}+{attack.id}"
                trials += [Trial(n, _with(tasks[a.id], t)) for n, t in zip(names, (control, text), strict=True) if n not in done]
                done |= set(names)
                attacked.append((a.id, name, *names))
    return Exam(tuple(answers), tuple(trials), tuple(attacked))


def _sample(answers: Sequence[LabelledAnswer]) -> list[LabelledAnswer]:
    """In each language the answers that bring rewritings, and more up to `N_CHANGED`, drawn by their ids."""
    return [
        a
        for language in LANGUAGES
        for place, a in enumerate(
            sorted((a for a in answers if a.language == language), key=lambda a: (not a.variants, content_hash(a.id)))
        )
        if a.variants or place < N_CHANGED
    ]


def _with(task: JudgeTask, text: str) -> JudgeTask:
    return replace(task, exchanges=(*task.exchanges[:-1], (task.exchanges[-1][0], text)))


def _variants(answer: LabelledAnswer, task: JudgeTask) -> Iterator[tuple[str, JudgeTask]]:
    text, language = answer.exchanges[-1][1], answer.language
    yield from ((name, _with(task, said)) for name, said in answer.variants.items())
    yield "bullets", _with(task, "\n".join(f"- {sentence}" for sentence in sentences(text)))
    yield "disclaimer", _with(task, text + DISCLAIMER[language])
    yield "typos", _with(task, _typos(text, answer.id))
    yield "anchors_reversed", replace(task, variant="anchors_reversed")
    yield "scale_reversed", replace(task, variant="scale_reversed")
    yield "data_marked", replace(task, variant="data_marked")


def _typos(text: str, seed: str) -> str:
    """Neighbouring characters swapped at one place in fifty."""
    rng, chars = random.Random(seed), list(text)
    for i in range(len(chars) - 1):
        if rng.random() < 0.02 and chars[i].isalnum() and chars[i + 1].isalnum():
            chars[i], chars[i + 1] = chars[i + 1], chars[i]
    return "".join(chars)


def read_exam(
    settings: Settings, labelled: Path, *, part: Part = "sealed", attacks: bool = True, per_attack: int = 93, only_attacks: bool = False
) -> Exam:
    """The exam on a labelled set, in the languages of the settings.

    Parameters
    ----------
    part
        Which part of the set is used; answers without a part belong to ``sealed``.
    attacks, only_attacks
        Whether to put the attacks, and whether to leave the harmless changes out.

    Raises
    ------
    ConfigError
        No usable answers.
    """
    corpus = load_corpus(settings.root)
    answers = [a for a in load_labelled(labelled, corpus) if a.language in languages_of(settings.lang) and (a.part or "sealed") == part]
    if not any(a.violation for a in answers) or all(a.violation for a in answers):
        raise ConfigError(
            f"{labelled}: found no violating or no safe answers in {settings.lang}, part {part}; expected both, or nothing can be told of a judge."
        )
    tasks = {a.id: task_of(a, corpus.guidelines) for a in answers}
    if only_attacks:
        answers = [a for a in answers if a.violation]
    exam = make_exam(answers, tasks, load_attacks(settings.root) if attacks else None, per_attack, changes=not only_attacks)
    return replace(exam, source=labelled.name, part=part, only_attacks=only_attacks)


def qualify(settings: Settings, exam: Exam, *, today: date, told: Callable[[int, int], None] | None = None) -> tuple[JudgeCard, Path]:
    """Examine the judges of the settings; returns the card and the folder with it and its ledger.

    Raises
    ------
    ConfigError
        Judges that are not allowed, or the folder is a run's.
    """
    notes = check_judges(settings, families_in(settings))
    identity = judge_identity(settings)
    folder = settings.reports / checked_run_id(settings.run_id or f"judges-{content_hash([identity, exam.source])[:12]}")
    if (folder / "run.json").exists():
        raise ConfigError(f"--run-id {folder.name!r}: {folder} holds a run. Name another folder for the judges.")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder)
    try:
        ledger = Ledger(folder / "ledger.sqlite", folder.name)
        try:
            panel = make_panel(settings, load_corpus(settings.root).cases, ledger.secret())
            card = examine(exam, settings, panel.members, ledger, today=today, notes=notes, told=told)
        finally:
            ledger.close()
        from jmedethic_plugin.reporting.card import render_card

        # The attacks alone are no card: nothing of sensitivity on plain answers, nothing of specificity.
        name = "attacks" if exam.only_attacks else "card"
        write_atomically(folder / f"{name}.json", CardFile.of(card).model_dump_json(indent=1) + "\n")
        write_atomically(folder / f"{name}.html", render_card(card))
    finally:
        lock.release()
    return card, folder


def examine(
    exam: Exam,
    settings: Settings,
    judges: Sequence[ChatModel],
    ledger: Ledger,
    *,
    today: date,
    notes: Sequence[str] = (),
    told: Callable[[int, int], None] | None = None,
) -> JudgeCard:
    """Ask every judge everything and sum it up."""
    from jmedethic_plugin.engine.panel import Panel

    # Each judge by itself: no third and no fallback, whose place would hide an error.
    everyone = Panel(judges=tuple(judges), threshold=settings.threshold, secret=ledger.secret())
    verdicts = judge_tasks(
        {t.name: t.task for t in exam.trials}, everyone, ledger=ledger, limits=settings.limits, sampling=settings.judge_sampling,
        repeats={t.name: t.repeat for t in exam.trials}, told=None if told is None else lambda n: told(n, len(exam.trials)),
    )  # fmt: skip
    families = families_in(settings)
    served = ledger.served()
    heard = [_heard(exam, verdicts, place, judge.model_id, families[judge.model_id], served) for place, judge in enumerate(judges)]
    decided = {a.id: _as_in_a_run(verdicts[a.id], settings) for a in exam.answers}
    scale = judge_identity(settings)
    gaps = [
        f"{language}: not examined, the set has no answer in it"
        for language in scale["rubric"]
        if not any(a.language == language for a in exam.answers)
    ]
    if not exam.attacked:
        gaps.append("not examined under attack")
    results = tuple(qualify_judge(exam.answers, h, [o for o in heard if o is not h]) for h in heard)
    # No fault: who labels answers of one product alone has no other families to compare with.
    unseen = [r.judge for r in results if r.self_preference is None]
    if unseen:
        notes = (
            *notes,
            f"whether it favours its own family was not measured of {', '.join(unseen)}: that needs answers of {MIN_FAMILIES} families, its own among them",
        )
    return JudgeCard(
        canary=CANARY, suite_version=SUITE_VERSION, created=today.isoformat(), expires=(today + timedelta(days=VALID_DAYS)).isoformat(),
        scale=scale, threshold=str(settings.threshold),
        answers=AnswerSet(
            source=exam.source, part=exam.part, hash=content_hash([a.model_dump(mode="json") for a in exam.answers]), n=len(exam.answers),
            clinician_labelled=all(a.clinician_labelled for a in exam.answers), licences=tuple(sorted({a.licence or "not stated" for a in exam.answers})),
        ),
        judges=results, panel=qualify_panel(exam.answers, decided, settings.threshold), labels=label_agreement(exam.answers), gaps=tuple(gaps),
        notes=tuple(notes),
        demo=any(j.is_demo for j in judges),
    )  # fmt: skip


def steered(card: JudgeCard) -> bool:
    """Whether any judge let more violations pass under an attack than is accepted, or was not examined enough to say it did not."""
    return bool(card.gaps) or any(fault for judge in card.judges for row in judge.languages for fault in attack_faults(row.attacks))


def attack_lines(card: JudgeCard) -> list[str]:
    """The attacks as text: a line for each judge, language and attack that turned anything."""
    lines = []
    for judge in card.judges:
        for row in judge.languages:
            turned = [a for a in row.attacks if a.n_flips]
            pairs = sum(a.n for a in row.attacks)
            lines.append(
                f"{judge.judge}, {row.language}: {len(row.attacks)} attacks on {pairs} pairs, {len(turned)} turned a violation into something safe"
            )
            lines += [
                f"  {a.name}: {a.n_flips} of {a.n} ({a.n_flips_control} with a harmless tail), upper bound {a.bound or 0:.3f}, McNemar p {a.p:.3f}"
                for a in turned
            ]
            lines += [f"  - {fault}" for fault in attack_faults(row.attacks)]
    return [*lines, *(f"- {gap}" for gap in card.gaps), *(f"note: {note}" for note in card.notes)]


def _as_in_a_run(everyone: PanelVerdict, settings: Settings) -> PanelVerdict:
    """What a run would have: the two judges, and the third only where the threshold asks for it."""
    n = len(settings.judges)
    panel = everyone.model_copy(update={"verdicts": everyone.verdicts[:n]})
    if settings.third_judge is None or not settings.threshold.asks_third(panel):
        return panel
    return panel.model_copy(update={"third": everyone.verdicts[n]})


def _heard(
    exam: Exam, verdicts: Mapping[str, PanelVerdict], place: int, judge: str, family: str | None, served: Mapping[str, tuple[str, ...]]
) -> Heard:
    own: dict[str, Verdict] = {name: panel.verdicts[place] for name, panel in verdicts.items()}
    variants: dict[str, dict[str, Verdict]] = defaultdict(dict)
    for name, verdict in own.items():
        answer_id, mark, variant = name.partition("~")
        if mark:
            variants[variant][answer_id] = verdict
    trials = tuple(
        AttackTrial(i, attack, own[i], own.get(control or ""), own.get(attacked or "")) for i, attack, control, attacked in exam.attacked
    )
    return Heard(judge, family, served.get(judge, ()), {a.id: own[a.id] for a in exam.answers}, variants, trials)
