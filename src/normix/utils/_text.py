"""Names as words."""

import re


def words(name: str) -> str:
    """A class's name as words.

    >>> words("NormalInverseGaussian")
    'normal inverse Gaussian'
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return spaced.replace("gaussian", "Gaussian")
