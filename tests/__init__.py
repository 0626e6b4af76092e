"""The tests. A package only at its top, so that no installed `tests` package can take its place."""
