"""A run in the formats of other tools (docs/exports.md). Each module makes files of records, without touching the disk."""
