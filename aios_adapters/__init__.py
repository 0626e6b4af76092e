"""Adapters: put the AIOS kernel under existing agent programs."""
