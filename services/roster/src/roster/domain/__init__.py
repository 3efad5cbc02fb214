"""What a school's register may say: one decider each for the school, a member of staff, a class and a pupil.

All of it is pure. What a decision needs to know from elsewhere (a consent, the class a pupil is to join) stands in its
command; the gates of order 39/2 that roster owns (13→14, 12→15, 14→15) are checked here and nowhere else.
"""
