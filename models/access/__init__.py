"""Who may do what: roles, what they grant, and the answer for one caller and one wish.

Pure. Knows words only: no token, no row, no request, no clock.
"""
