"""Starts, watches and stops the servers of an engine folder; production images start what is here."""
