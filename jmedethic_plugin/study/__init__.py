"""Many models, one folder: the study file, its runs, its tables."""
