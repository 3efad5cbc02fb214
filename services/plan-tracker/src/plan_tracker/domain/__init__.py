"""What the plan means: its steps, what makes one done, and when it is due. Pure: no engine, no file, no network, no clock."""
