"""The only asynchronous layer: models, limits, conversations, judging, scheduling."""
