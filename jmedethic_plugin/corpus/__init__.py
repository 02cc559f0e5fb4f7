"""Files <-> core: reading guidelines and cases with errors that name file and field, and selecting cases."""
