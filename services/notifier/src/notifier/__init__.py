"""Notices: turns the plan's announcements into an outbox and sends them by mail when a server is configured."""
