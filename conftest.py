"""What every suite shares: laws are searched without a clock, since the machine that runs them is shared."""

from hypothesis import settings

settings.register_profile("vekha", parent=settings(), deadline=None)
settings.load_profile("vekha")
