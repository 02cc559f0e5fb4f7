"""Makes the plugin available when the package is not installed (a checkout on PYTHONPATH)."""

pytest_plugins = ["jmedethic_plugin.plugin", "pytester"]
