"""Public fakes for tests: the loopback provider server with faults."""
