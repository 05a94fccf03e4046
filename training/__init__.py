"""Foveate's own small text-to-image model: drawn, trained, measured and exported here."""
