"""What a school's register may say: a decider each for the school, a member of staff, a class and a pupil, and for what a school year
needs: workplaces, periods, bells, lists, timetables, roll-over and the checks of the data.

All of it is pure. What a decision needs to know from elsewhere (a consent, the class a pupil is to join) stands in its
command; the gates of order 39/2 that roster owns (13→14, 12→15, 14→15, 9–12→16) are checked here and nowhere else.
"""
