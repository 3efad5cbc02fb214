"""The figures of the design, measured side by side with a peer; `python -m bench` runs them all."""
