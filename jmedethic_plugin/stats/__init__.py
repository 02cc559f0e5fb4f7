"""Numbers in, estimates out. No records, no files, no configuration."""
