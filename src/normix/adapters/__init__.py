"""normix in the tools that people use already: one module for each.

A module needs the package that it is for, which normix does not install by itself:
``pip install "normix[sklearn]"``, and the like, from wherever normix was installed.
"""
