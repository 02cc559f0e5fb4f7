"""Durable calls and records. Append-only; nothing paid for is lost or paid for twice."""
