"""The finished small lab of tests/assets, for what is compared with it."""

from tests.assets.conftest import small_lab as small_lab
