"""Values and rules. Pure: no files, no network, no clock."""
