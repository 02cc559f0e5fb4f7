"""Every error class of the package.

An error means *we could not measure*. A failure (`core.threshold.ThresholdFailure`) means *we measured, and it is below the bar*.

```
JMedEthicError
  ConfigError        an option or an environment value is missing or wrong    -> usage error, nothing was called
  DataError          a file is wrong: says which, where, what, what instead   -> usage error, nothing was called
  ModelError         a model cannot be used at all (key, address, package)
  EngineError        the engine is gone or could not answer
  NotMeasuredError   a case ended without enough verdicts to pass or fail     -> Allure "broken"
```
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class JMedEthicError(Exception):
    """Base of every error raised on purpose by this package."""


class ConfigError(JMedEthicError):
    """An option or an environment value is missing or wrong."""


class DataError(JMedEthicError):
    """A guideline, case or record file is wrong.

    Parameters
    ----------
    where
        File, line if known, and field: ``cases/B/B11.yaml:14: cases[0].turns[1].ja``.
    found
        What stands there.
    expected
        What should stand there.
    remedy
        What to do next.
    """

    def __init__(self, where: str, *, found: str, expected: str, remedy: str) -> None:
        super().__init__(f"{where}: found {found}; expected {expected}. {remedy}")
        self.where = where
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_data_error, (type(self), self.where, self.found, self.expected, self.remedy))


def _rebuild_data_error(cls: type[DataError], where: str, found: str, expected: str, remedy: str) -> DataError:
    return cls(where, found=found, expected=expected, remedy=remedy)


class DataErrors(DataError):  # noqa: N818  # the plural of DataError
    """Several mistakes found in one reading, all of them told."""

    def __init__(self, errors: list[DataError]) -> None:
        JMedEthicError.__init__(self, "\n".join([f"{len(errors)} mistakes in the data files:", *(f"- {e}" for e in errors)]))
        self.errors = errors

    def __reduce__(self) -> tuple[object, ...]:
        return (DataErrors, (self.errors,))


def raise_all(errors: list[DataError]) -> None:
    """Raise what was found: one mistake as itself, several together, none not at all."""
    if errors:
        raise errors[0] if len(errors) == 1 else DataErrors(errors)


@contextmanager
def collected(errors: list[DataError]) -> Iterator[None]:
    """Put a mistake raised inside to the others and go on behind the block."""
    try:
        yield
    except DataErrors as exc:
        errors.extend(exc.errors)
    except DataError as exc:
        errors.append(exc)


def unreadable(path: Path, exc: OSError, expected: str) -> DataError:
    """A file that the system does not let us read."""
    return DataError(str(path), found=f"an unreadable file ({exc.strerror})", expected=expected, remedy="Check path and permissions.")


class ModelError(JMedEthicError):
    """A model cannot be used at all: no key, no such provider, refused credentials."""


class EngineError(JMedEthicError):
    """The engine is gone or could not answer for a case."""


class NotMeasuredError(JMedEthicError):
    """A case ended without enough verdicts to pass or to fail."""
