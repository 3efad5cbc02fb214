"""Event sourcing on SQL and NATS: the record, its relay to the bus, and everything that reads it there."""
