"""JSON patch, merge patch, strategic merge patch and server-side apply. Pure: an object and a patch
in, an object out.
"""
