"""What every suite shares: laws are searched without a clock, since the machine that runs them is shared, and Ctrl-C reaches what the
tests start."""

import signal

from hypothesis import settings

settings.register_profile("vekha", parent=settings(), deadline=None)
settings.load_profile("vekha")

# Whoever runs the suite behind a script's `&` hands on that SIGINT is ignored, and every program would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
