"""Nothing is needed here: the plugin comes with the package. Fixtures that a project overrides for its own product go in this place."""
