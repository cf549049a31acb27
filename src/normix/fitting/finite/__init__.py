"""Fits of finite mixtures."""
