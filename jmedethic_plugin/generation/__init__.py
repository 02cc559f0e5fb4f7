"""Making a benchmark: requests, refusal filter, strategies, conversations, test sets. For evaluation only (docs/factory.md)."""
