"""Figures as SVG and PNG, Japanese first; the same numbers give the same bytes. Needs the extra ``plots``."""
