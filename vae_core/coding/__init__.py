"""Images as bits: bits-back coding with a VAE, what each part costs, and the usual compressors.

:func:`compress` turns images into bytes, :func:`decompress` turns them back, bit for bit.
:func:`account` says where the bits of a digit go, for the encoder's Q or any other.
"""

from vae_core.coding._account import Account, account, spoil
from vae_core.coding._bits_back import DamagedStream, compress, decompress
from vae_core.coding._codecs import general_purpose

__all__ = [
    "Account",
    "DamagedStream",
    "account",
    "compress",
    "decompress",
    "general_purpose",
    "spoil",
]
