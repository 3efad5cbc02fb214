"""What notifier decides: whom a day's notices concern, and what becomes of a message."""
