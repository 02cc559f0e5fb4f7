"""Allure results of a finished run from its records, without pytest: `reporting.allure` tells each case as it does during a run, and this listens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import attr
from allure_commons import hookimpl, plugin_manager
from allure_commons.model2 import Attachment, Label, Parameter, Status, StatusDetails, TestResult, TestStepResult
from allure_commons.utils import format_exception, md5, represent

from jmedethic_plugin.analysis.summary import Tables
from jmedethic_plugin.core.case import item_id, kind_of
from jmedethic_plugin.core.exam import ExamRecord
from jmedethic_plugin.core.record import Manifest, Record
from jmedethic_plugin.core.threshold import ThresholdFailure
from jmedethic_plugin.errors import NotMeasuredError
from jmedethic_plugin.reporting.allure import report_case, write_run_files

SHIPPED_TEST = "cases/test_conversations.py::test_conversation"


def write_results(
    folder: Path, tables: Tables, manifest: Manifest, records: Sequence[Record], ended: Mapping[tuple[str, int], str], run: Path,
    environ: Mapping[str, str],
) -> None:  # fmt: skip
    """A result with its attachments for each record, and what goes with them. Twice the same bytes; what else the folder holds stays.

    Host, thread, interpreter and tracebacks are of the pytest process and in no record: they are left out.

    Parameters
    ----------
    ended
        When each record was written, UTC in ISO 8601, by case and repeat.
    run
        The run's folder, which failures name.
    environ
        As for `write_run_files`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        listener = _Listener(record, manifest, datetime.fromisoformat(ended[record.case_id, record.repeat]))
        plugin_manager.register(listener)
        try:
            report_case(record, manifest.threshold, manifest.banners)
        finally:
            plugin_manager.unregister(listener)
        listener.close(
            record, manifest, "/".join([*run.resolve().parts[-2:], "exam.jsonl" if isinstance(record, ExamRecord) else "records.jsonl"])
        )
        # Not by `write_atomically`, which waits for the disk: there are ten files to a case, and they can be made again.
        for name, body in listener.files.items():
            (folder / name).write_text(body, encoding="utf-8", newline="")
    write_run_files(folder, tables, manifest, environ)


class _Listener:
    """Makes one result of what `report_case` says, as allure-pytest's listener does."""

    def __init__(self, record: Record, manifest: Manifest, ended: datetime) -> None:
        item = record.case_id if isinstance(record, ExamRecord) else item_id(record.case_id, record.repeat)
        path, *classes, function = (manifest.test or SHIPPED_TEST).split("::")
        segments = path.split("/")
        package = ".".join([*segments[:-1], segments[-1].rsplit(".", 1)[0]])
        full_name = f"{'.'.join([package, *classes])}#{function}"
        replies = [record.reply] if isinstance(record, ExamRecord) else [turn.reply for turn in record.turns]
        self._at = round(1000 * ended.timestamp())
        self._uuid = uuid5(NAMESPACE_URL, f"jmedethic:{manifest.run_id}/{item}")
        self._item = item
        self._result = TestResult(
            uuid=str(self._uuid), fullName=full_name, testCaseId=md5(full_name), titlePath=[*segments, *classes], status=Status.PASSED,
            parameters=[Parameter(name="case", value=represent(item))], start=self._at - round(1000 * sum(r.latency_s for r in replies)), stop=self._at,
            labels=[Label("tag", kind_of(item)), Label("framework", "pytest"), Label("package", package)],
        )  # fmt: skip
        self._open: list[Any] = [self._result]
        self.files: dict[str, str] = {}

    def close(self, record: Record, manifest: Manifest, place: str) -> None:
        """Judge the case, as its test did."""
        try:
            record.require(manifest.threshold, where=place)
        except (ThresholdFailure, NotMeasuredError) as exc:
            self._result.status = _status(type(exc))
            self._result.statusDetails = StatusDetails(message=format_exception(type(exc), exc).rstrip())
        told = [p for p in sorted(self._result.parameters, key=lambda p: p.name) if not p.excluded]
        self._result.historyId = md5(self._result.fullName, *(self._item if p.name == "case" else p.value for p in told))
        content = attr.asdict(self._result, filter=lambda _, value: bool(value))
        self.files[f"{self._uuid}-result.json"] = json.dumps(content, ensure_ascii=False)

    @hookimpl
    def add_title(self, test_title: str) -> None:
        """Allure's hook, as are the following."""
        self._result.name = test_title

    @hookimpl
    def add_label(self, label_type: str, labels: Sequence[str]) -> None:
        self._result.labels += [Label(label_type, label) for label in labels]

    @hookimpl
    def add_parameter(self, name: str, value: str, excluded: bool | None) -> None:  # noqa: FBT001  # pluggy passes by position
        self._result.parameters.append(Parameter(name=name, value=represent(value), excluded=excluded or None))

    @hookimpl
    def start_step(self, title: str) -> None:
        step = TestStepResult(name=title, start=self._at)
        self._open[-1].steps.append(step)
        self._open.append(step)

    @hookimpl
    def stop_step(self, exc_type: type[BaseException] | None, exc_val: BaseException | None) -> None:
        step = self._open.pop()
        step.stop, step.status = self._at, _status(exc_type)
        step.statusDetails = None if exc_type is None else StatusDetails(message=format_exception(exc_type, exc_val))

    @hookimpl
    def attach_data(self, body: str, name: str, attachment_type: Any) -> None:
        source = f"{uuid5(UUID(self._result.uuid), str(len(self.files)))}-attachment.{attachment_type.extension}"
        self._open[-1].attachments.append(Attachment(name=name, source=source, type=attachment_type.mime_type))
        self.files[source] = body


def _status(raised: type[BaseException] | None) -> str:
    return str(Status.PASSED if raised is None else Status.FAILED if issubclass(raised, AssertionError) else Status.BROKEN)
