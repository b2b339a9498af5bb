"""Stored import jobs and reimports: created, claimed, renewed, finished."""
