"""Role-based access control: roles, the rules that they grant, and the decision about one request.

Pure functions over values: no token, no database row, no HTTP request, no clock.
"""
