"""Release gate for medical language models in Japan: multi-turn medical-ethics conversations as pytest cases."""

__version__ = "0.1.0"
SUITE_VERSION = "1"
"""Part of every ledger key: raised when the same inputs would no longer mean the same measurement."""

__all__ = ["SUITE_VERSION", "__version__"]
