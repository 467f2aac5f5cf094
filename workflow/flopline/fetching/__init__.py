"""Fetching: logs from trackers, stores and the web into snapshots that other rooms read."""
