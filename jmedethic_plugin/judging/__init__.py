"""Judging outside a run: the queue for people, judging again, qualifying judges."""
