"""Images as uint8 tensors: MNIST from inside the package, other data sets through torchvision.

``load`` gives an :class:`ImageData`; ``to_float`` and ``binarize`` turn its bytes into pixels a
model can take; ``batches`` yields index tensors, so that the data can lie on the model's device
and a batch is an index into it.
"""

from vae_core.data._few import few_of_each, joined, shifted
from vae_core.data._load import ImageData, available, load, torchvision_root
from vae_core.data._mnist import DamagedFileError
from vae_core.data._pixels import batches, binarize, to_float
from vae_core.data._torchvision import DataUnavailableError

__all__ = [
    "DamagedFileError",
    "DataUnavailableError",
    "ImageData",
    "available",
    "batches",
    "binarize",
    "few_of_each",
    "joined",
    "load",
    "shifted",
    "to_float",
    "torchvision_root",
]
