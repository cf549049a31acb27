"""Timings of normix beside a plain reference, in one process and in turn."""
