"""Is a stored partition current? Fingerprints of data, settings, lists and of the code that was reached."""
