"""Prompt texts as files, their rendering and their hashes."""
