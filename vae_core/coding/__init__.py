"""Images as bits: bits-back coding with a VAE, what each part costs, and the usual compressors.

:func:`compress` turns images into bytes, :func:`decompress` turns them back, bit for bit.
:func:`account` says where the bits of a digit go, for the encoder's Q or any other;
:func:`two_parts` what it takes to tell z and then X, with no bits back.
"""

from vae_core.coding._account import Account, account, spoil
from vae_core.coding._bits_back import DamagedStream, compress, decompress
from vae_core.coding._codecs import general_purpose
from vae_core.coding._two_part import TwoPart, bin_medians, two_parts

__all__ = [
    "Account",
    "DamagedStream",
    "TwoPart",
    "account",
    "bin_medians",
    "compress",
    "decompress",
    "general_purpose",
    "spoil",
    "two_parts",
]
