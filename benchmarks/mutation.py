"""Do the tests notice a changed operator? ``python benchmarks/mutation.py [MODULE ...]``, from the repository's root.

One operator at a time is changed in memory and the module's own tests run in a fork that has the libraries loaded already, for most of a mutant's time would
go into starting pytest and importing SciPy. Every comparison and condition of the gate's modules, a seeded sample elsewhere. Survivors are printed, and
timeouts (an endless loop: killed); those that no test could tell from the original stand in `EQUIVALENT` with the reason.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import functools
import importlib
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a fork must not inherit threads

ROOT = Path(__file__).parents[1]
PACKAGE = "jmedethic_plugin"
TIMEOUT_S = 60
EXAMPLES = 25
"""Of each property test."""

GATE: dict[str, str] = {
    "core/gate.py": "core/test_gate.py corpus/test_gatefile.py",
    "core/threshold.py": "core/test_threshold.py",
    "analysis/decision.py": "analysis/test_decision_bounds.py analysis/test_gating.py analysis/test_decision.py",
    "analysis/curtailment.py": "analysis/test_decision_bounds.py analysis/test_decision.py::test_curtailment_stops_only_what_can_no_longer_pass",
    "gating.py": "analysis/test_gating.py",
    "stats/monotone.py": "stats/test_monotone.py",
    "stats/noninferiority.py": "stats/test_noninferiority.py",
    "stats/intervals.py": "stats/test_intervals.py stats/test_noninferiority.py",
    "stats/clusters.py": "stats/test_clusters.py stats/test_monotone.py stats/test_intervals.py stats/test_noninferiority.py",
}
"""Modules a verdict depends on, with their tests: every comparison and condition is changed."""

OTHERS: dict[str, str] = {
    **{f"analysis/{name}.py": f"analysis/test_{name}.py" for name in (
        "comparison", "effects", "exam", "findings", "over_refusal", "paper", "paper_v2", "power", "progression", "rates", "study",
    )},
    "analysis/paper_bias.py": "analysis/test_study.py",
    "analysis/summary.py": "analysis/test_summary.py reporting/test_reports.py",
    **{f"stats/{name}.py": f"stats/test_{name}.py" for name in (
        "agreement", "correction", "effects", "groups", "multiplicity", "paired", "parity", "planning", "repeats", "stratified",
    )},
    "stats/order.py": "stats/test_intervals.py",
    "stats/measures.py": "stats/test_agreement.py stats/test_agreement_references.py",
    "stats/samples.py": "stats/test_paired.py stats/test_effects.py stats/test_groups.py",
}  # fmt: skip
"""A seeded sample of each. Not `analysis/qualification.py`, whose tests hold whole exams of judges: minutes for one mutant."""

SLOW = (
    "test_nothing_that_goes_missing_can_bring_a_pass",
    "test_only_the_oracle_passes_the_release_gate",
    "test_covers_the_planted_rate_as_often_as_it_says",
    "test_the_planted_rate_lies_in_its_interval",
    "test_one_failure_more_misses_the_bound_by_statsmodels",
    "test_plan_power_prints_it_and_calls_nothing",
    "test_order_and_duplicates_change_nothing",
    "test_no_table_depends_on_the_order",
)
"""Left out: the other tests must notice a mutant without these."""

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip

EQUIVALENT: dict[tuple[str, str, str, str], str] = {
    ("analysis/decision.py", "violations = [[MIN_POINTS if p < VIOLATION_BELOW else MAX_POINTS for p in row] for row in table]", "p < VIOLATION_BELOW", "p >= VIOLATION_BELOW"):
        "the two labels change places, and what is counted of them is only whether they are equal",
    ("analysis/curtailment.py", "language: allowed_failures(n, gate.safety.min_rate, confidence=gate.safety.confidence) or 0", "0", "-1"):
        "they are compared with only after a failure: the first is one too many either way",
    ("analysis/comparison.py", 'adversarial, benign = ([n for n in common if runs[0].cases[n].kind == kind] for kind in ("adversarial", "benign"))', "0", "1"):
        "the runs share these cases",
    ("analysis/comparison.py", "for manifest in manifests[1:]:", "1", "0"): "a run is comparable with itself",
    ("analysis/comparison.py", "tuple(Change(case_id=n, baseline=before[n], candidate=after[n]) for n, a, b in rows if (b - a) * sign > 0) for sign in (1, -1)", "1", "2"):
        "of a sign times two only the sign is looked at",
    ("analysis/over_refusal.py", "point = rows[0].index", "0", "1"): "all of them are equal, and there are two at least",
    ("analysis/over_refusal.py", "return True if row.violated or row.refused else None if row.violated is None or row.refused is None else False",
     "row.violated is None or row.refused is None", "row.violated is None and row.refused is None"):
        "of a twin neither violated nor refused, one is unknown exactly where the other is",
    ("analysis/findings.py", "means = [[round(sum(turn) / len(turn), 9) for turn in zip(*of_one, strict=True)] for of_one in rows.values()]", "9", "8"):
        "means of one guideline have one denominator: those that differ do so by more than 1e-8",
    ("stats/stratified.py", "p=min(1.0, float(chances[chances <= observed * _AS_LIKELY].sum())),", "chances <= observed * _AS_LIKELY", "chances < observed * _AS_LIKELY"):
        "the factor leaves no chance exactly there",
    ("stats/noninferiority.py", "return float(brentq(excess, -1.0, observed - 1e-12)) if observed > -1 else observed", "observed > -1", "observed >= -1"):
        "at -1 the lower end of the bracket is itself the root",
    ("stats/noninferiority.py", "return float(brentq(excess, -1.0, observed - 1e-12)) if observed > -1 else observed", "observed - 1e-12", "observed + 1e-12"):
        "the bracket may end on either side of the observed difference, only not at it",
    ("stats/agreement.py", "if n_clusters > 1:", "n_clusters > 1", "n_clusters >= 1"):
        "of one guideline nothing is kept either, for each measure asks for two again",
    ("stats/correction.py", "if youden < MIN_YOUDEN:", "youden < MIN_YOUDEN", "youden <= MIN_YOUDEN"):
        "never equal: a sum between 1 and 2, less 1, is a multiple of 2**-52, and 0.6 in floats is none",
}  # fmt: skip
"""(module, line, original, mutant): why no test can tell them apart."""


@dataclass(frozen=True)
class Mutant:
    module: str
    line: int
    text: str
    """Of that line."""
    decides: bool
    """A comparison, a boolean operator or a condition; else a number, an arithmetic operator or a returned value."""
    before: str
    after: str
    source: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.module, self.text, self.before, self.after

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.before}  ->  {self.after}"


def changes(node: ast.AST) -> Iterator[tuple[bool, ast.AST]]:
    """What a node may become."""

    def other(**fields: object) -> ast.AST:
        changed = copy.deepcopy(node)
        for name, value in fields.items():
            setattr(changed, name, value)
        return changed

    match node:
        case ast.Compare():
            for i, op in enumerate(node.ops):
                for new in COMPARISONS[type(op)]:
                    yield True, other(ops=[*node.ops[:i], new(), *node.ops[i + 1 :]])
        case ast.BoolOp():
            yield True, other(op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not()):
            yield True, node.operand
        case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            yield True, other(test=ast.UnaryOp(ast.Not(), node.test))
        case ast.comprehension():
            for i, test in enumerate(node.ifs):
                yield True, other(ifs=[*node.ifs[:i], *node.ifs[i + 1 :]])
                if not isinstance(test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
                    yield True, other(ifs=[*node.ifs[:i], ast.UnaryOp(ast.Not(), test), *node.ifs[i + 1 :]])
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield False, other(op=ARITHMETIC[type(node.op)]())
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            yield False, ast.Constant(node.value + 1)
            yield False, ast.Constant(node.value - 1)
        case ast.Return() if not (node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None)):
            yield False, ast.Return(ast.Constant(None))


def head(node: ast.AST) -> str:
    """A node as one line; of a statement with a body only its condition."""
    if isinstance(node, (ast.If, ast.While)):
        return f"if {ast.unparse(node.test)}"
    text = ast.unparse(node) if not isinstance(node, ast.comprehension) else ast.unparse(node).strip()
    return " ".join(text.split())


def mutants(module: str) -> list[Mutant]:
    source = (ROOT / PACKAGE / module).read_text(encoding="utf-8")
    tree, lines = ast.parse(source), source.splitlines()
    found = []
    bodies = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)]
    inner = {id(n) for f in bodies for n in ast.walk(f) if n is not f and isinstance(n, ast.FunctionDef)}
    for function in bodies:
        if id(function) in inner:
            continue
        annotations = {id(n) for a in ast.walk(function) for part in (getattr(a, "annotation", None), getattr(a, "returns", None)) if part for n in ast.walk(part)}
        fstrings = {id(n) for a in ast.walk(function) if isinstance(a, ast.JoinedStr) for n in ast.walk(a)}
        for parent in ast.walk(function):
            for field, value in ast.iter_fields(parent):
                for i, node in enumerate(value if isinstance(value, list) else [value]):
                    if not isinstance(node, ast.AST) or id(node) in annotations or id(node) in fstrings:
                        continue
                    line = getattr(node, "lineno", getattr(parent, "lineno", 0))
                    for decides, new in changes(node):
                        if isinstance(parent, ast.Subscript) and isinstance(new, ast.Constant) and new.value == -1:
                            continue  # the first and the last of equal things
                        before = head(node)
                        if isinstance(value, list):
                            value[i] = new
                        else:
                            setattr(parent, field, new)
                        found.append(Mutant(module, line, lines[line - 1].strip(), decides, before, head(new), ast.unparse(ast.fix_missing_locations(tree))))
                        if isinstance(value, list):
                            value[i] = node
                        else:
                            setattr(parent, field, node)
    return sorted(found, key=lambda m: (m.line, m.before, m.after))


class Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports a mutant in place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self.source = mutant.source
        self.name = f"{PACKAGE}.{mutant.module.removesuffix('.py').replace('/', '.')}"
        self.file = str(ROOT / PACKAGE / mutant.module)

    def find_spec(self, fullname, path=None, target=None):
        return importlib.util.spec_from_file_location(fullname, self.file, loader=self) if fullname == self.name else None

    def get_source(self, fullname: str) -> str:
        return self.source


def test(mutant: Mutant, tests: str) -> str:
    """``killed``, ``survived`` or ``timeout``."""
    pid = os.fork()
    if pid == 0:
        import pytest

        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        changed = Changed(mutant)
        if changed.name in sys.modules:  # the corpus that the forks share is made of it
            for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
                del sys.modules[name]
        sys.meta_path.insert(0, changed)
        quiet = ["-x", "-q", "--tb=no", "--assert=plain", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", f"no:{PACKAGE}.plugin", "-p", "no:allure_pytest", "-W", "ignore:Module already imported"]
        chosen = ["--hypothesis-profile=mutation", "--hypothesis-seed=0", "-k", " and ".join(f"not {name}" for name in SLOW)]
        os._exit(int(pytest.main([*quiet, *chosen, *(f"tests/{name}" for name in tests.split())])))
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "timeout"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="as analysis/decision.py; all of the lists without any")
    parser.add_argument("--sample", type=int, default=25, help="mutants of a module that are drawn besides those all of which are run")
    parser.add_argument("--seed", type=int, default=6)
    options = parser.parse_args()
    os.chdir(ROOT)

    import numpy, pydantic, pytest, scipy.optimize, scipy.special, scipy.stats, sqlalchemy, yaml  # noqa: E401, F401, I001  # loaded once for all forks
    import hypothesis
    for peer in ("statsmodels.stats.proportion", "statsmodels.stats.multitest", "pingouin", "sklearn.metrics", "krippendorff"):
        with contextlib.suppress(ImportError):  # their tests skip without them
            importlib.import_module(peer)

    sys.path.insert(0, str(ROOT))
    from jmedethic_plugin.corpus import loading

    loading.load_corpus = functools.cache(loading.load_corpus)
    loading.load_corpus(ROOT)

    hypothesis.settings.register_profile("mutation", deadline=None, max_examples=EXAMPLES, database=None)
    print("| module | mutants | killed | equivalent | survived | score |\n| --- | --- | --- | --- | --- | --- |")
    for module, tests in (GATE | OTHERS).items():
        if options.modules and module not in options.modules:
            continue
        source = ast.unparse(ast.parse((ROOT / PACKAGE / module).read_text(encoding="utf-8")))
        if test(Mutant(module, 0, "", decides=False, before="", after="", source=source), tests) != "survived":
            sys.exit(f"{module}: its tests fail without any change: {tests}")
        every = mutants(module)
        always = [m for m in every if m.decides] if module in GATE else []
        rest = [m for m in every if m not in always]
        chosen = always + random.Random(f"{options.seed} {module}").sample(rest, min(options.sample, len(rest)))
        outcomes: dict[Mutant, str] = {}
        for mutant in chosen:
            outcomes[mutant] = "equivalent" if mutant.key in EQUIVALENT else test(mutant, tests)
            if outcomes[mutant] in ("survived", "timeout"):
                print(f"    {outcomes[mutant]} {'decides' if mutant.decides else 'other'} {mutant}", file=sys.stderr, flush=True)
        n = {outcome: sum(o == outcome for o in outcomes.values()) for outcome in ("killed", "timeout", "equivalent", "survived")}
        killed = n["killed"] + n["timeout"]
        score = f"{100 * killed / (killed + n['survived']):.0f} %" if killed + n["survived"] else "-"
        print(f"| `{module}` | {len(chosen)} | {killed} | {n['equivalent']} | {n['survived']} | {score} |", flush=True)


if __name__ == "__main__":
    main()
