"""The register of everything that was tried, trials of a sweep, promotion."""
