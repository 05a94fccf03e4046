"""The scenes data set: pictures and captions, endless and deterministic by seed."""
