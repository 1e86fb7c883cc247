"""What callers hand to ``fit``, made what it works on, or refused before anything is changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from vae_core import _check
from vae_core.data import ImageData
from vae_core.models import CVAE, Classifier
from vae_core.objectives import Objective

NO_LABEL = -1  # of images that come without
_WHAT = (
    "an ImageData (vae_core.data.load gives one), uint8 images [n, channels, height, width], "
    "a pair (images, labels), or a Dataset of such pairs"
)


def number(name: str, value: Any) -> float:
    """``value`` as a Python float. Raises ``ValueError`` for what is no number, a text too."""
    if isinstance(value, str | bytes | bool | np.bool_):
        raise ValueError(f"{name} must be a number; got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be a number; got {value!r}") from None


# ---- images and labels -------------------------------------------------------------------------


def image_data(given: Any, what: str = "data") -> ImageData:
    """``given`` as images uint8 and labels int64, where what is meant is clear.

    Images without labels get ``NO_LABEL``. Raises ``ValueError`` otherwise, calling it ``what``.
    """
    if isinstance(given, ImageData):
        return _checked(given, what)
    if isinstance(given, DataLoader):
        raise ValueError(
            f"{what} is a DataLoader, but fit makes its own batches (batch_size, seed): give its "
            f"dataset"
        )
    if isinstance(given, TensorDataset):
        given = given.tensors if len(given.tensors) > 1 else given.tensors[0]
    if isinstance(given, Dataset):
        given = _pair_of(given, what)
    pair = isinstance(given, tuple) and len(given) == 2
    images, labels = given if pair else (given, None)
    if isinstance(images, np.ndarray):
        images = _from_numpy(images, what)
    if not isinstance(images, Tensor):
        raise ValueError(f"{what} must be {_WHAT}; got a {type(images).__name__}")
    if images.ndim == 3:  # grey images without a dimension for their one channel
        images = images.unsqueeze(1)
    return _checked(ImageData(images, _labels(labels, len(images), what), (), what, ""), what)


def _from_numpy(values: np.ndarray, what: str) -> Tensor:
    try:
        return torch.from_numpy(np.ascontiguousarray(values))
    except TypeError:
        raise ValueError(f"{what} must be {_WHAT}; got an array of {values.dtype}") from None


def _checked(data: ImageData, what: str) -> ImageData:
    images = data.images
    if isinstance(images, np.ndarray):
        images = _from_numpy(images, f"{what}.images")
    if not isinstance(images, Tensor):
        raise ValueError(f"{what}.images must be a tensor; got a {type(images).__name__}")
    if images.dtype != torch.uint8 or images.ndim != 4 or len(images) == 0:
        raise ValueError(
            f"{what}.images must be uint8 [n, channels, height, width], n >= 1; "
            f"got {images.dtype} {list(images.shape)}"
        )
    if images.device.type == "meta":
        raise ValueError(f"{what}.images lie on the device 'meta', which holds no pixels")
    labels = _labels(data.labels, len(images), what)
    classes = data.classes or tuple(map(str, range(max(int(labels.max()) + 1, 0))))
    return data._replace(images=images, labels=labels, classes=classes)


def _labels(given: Any, n: int, what: str) -> Tensor:
    """``given`` as int64 [n]."""
    if given is None:
        return torch.full((n,), NO_LABEL, device="cpu")
    if isinstance(given, Tensor):
        labels = given
    else:
        try:
            labels = torch.from_numpy(np.array(given))
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(
                f"{what}.labels must be whole numbers [n]; got a {type(given).__name__} of "
                f"something else"
            ) from None
    if labels.ndim != 1:
        raise ValueError(f"{what}.labels must be [n], one an image; got {list(labels.shape)}")
    if len(labels) != n:
        raise ValueError(f"{n} images but {len(labels)} labels")
    whole = not labels.is_complex()
    if labels.is_floating_point():
        whole = torch.equal(labels, labels.round()) and bool(labels.isfinite().all())
    if not whole:
        raise ValueError(f"{what}.labels must be whole numbers; got {labels.dtype} with others")
    return labels if labels.dtype == torch.int64 else labels.to(torch.int64)


def _pair_of(dataset: Any, what: str) -> tuple[Tensor, Tensor | None]:
    """All images of a map-style data set, and their labels if it has any."""
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise ValueError(f"{what} is a Dataset without a length; fit holds all images at once")
    images, labels = [], []
    for i in range(len(dataset)):
        item = dataset[i]
        if isinstance(item, tuple | list) and len(item) in (1, 2):
            labels += [item[1]] if len(item) == 2 else []
            item = item[0]
        images.append(_bytes(item, f"{what}[{i}]"))
    if not images:
        raise ValueError(f"{what} is a Dataset of no images")
    if len({image.shape for image in images}) > 1 or len(labels) not in (0, len(images)):
        raise ValueError(f"{what} is a Dataset whose items are not alike: images of one size")
    if not labels:
        return torch.stack(images), None
    try:
        return torch.stack(images), torch.from_numpy(np.array([*map(_plain, labels)]))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{what} is a Dataset whose labels are not whole numbers, one an image"
        ) from None


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, Tensor) else label


def _bytes(image: Any, what: str) -> Tensor:
    """One image as uint8 [channels, height, width]."""
    if not isinstance(image, Tensor):
        try:
            values = np.asarray(image)  # Pillow's images, arrays
            image = torch.from_numpy(values.copy())
        except (TypeError, ValueError):
            raise ValueError(f"{what} is a {type(image).__name__}, and no image") from None
        if image.ndim == 3 and image.shape[-1] in (1, 3) and image.shape[0] not in (1, 3):
            image = image.permute(2, 0, 1)
    if image.ndim == 2:
        image = image.unsqueeze(0)
    if image.is_floating_point():
        levels = image.double() * 255
        if not bool((levels.round() - levels).abs().max() < 1e-3):
            raise ValueError(
                f"{what} has pixels that are no bytes over 255 (a transform that normalises?): "
                f"fit takes bytes"
            )
        if not bool(((levels > -0.5) & (levels < 255.5)).all()):
            raise ValueError(f"{what} has pixels outside [0, 1]")
        image = levels.round().to(torch.uint8)
    if image.dtype != torch.uint8 or image.ndim != 3:
        raise ValueError(
            f"{what} must be uint8 [channels, height, width]; got {image.dtype} {list(image.shape)}"
        )
    return image


# ---- the model ---------------------------------------------------------------------------------


def check_model(model: Any, objective: Any) -> None:
    """Raise ``ValueError`` unless ``model`` is a module with weights that can be trained."""
    if objective is not None and not callable(objective):
        raise ValueError(f"objective must be a function; got {objective!r}")
    if not isinstance(model, nn.Module) or isinstance(model, type):
        raise ValueError(f"model must be a torch.nn.Module; got {model!r}")
    parameters = list(model.parameters())
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        raise ValueError(
            f"a layer of the {type(model).__name__} has no weights yet: call the model on a batch "
            f"first"
        )
    if not any(parameter.requires_grad for parameter in parameters):
        raise ValueError(f"the {type(model).__name__} has no weights that require gradients")
    odd = {str(p.dtype) for p in parameters if p.requires_grad and not p.is_floating_point()}
    if odd:
        raise ValueError(f"weights that are trained must be floating; got {', '.join(sorted(odd))}")


def own_weights(model: nn.Module) -> None:
    """Replace tensors made under ``torch.inference_mode``, which can't be trained, by others."""
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_inference():
                if id(parameter) not in made:
                    made[id(parameter)] = nn.Parameter(parameter.clone(), parameter.requires_grad)
                module._parameters[name] = made[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_inference():
                module._buffers[name] = buffer.clone()


def check_fits(data: ImageData, model: nn.Module) -> None:
    """Raise ``ValueError`` unless the images have the shape that the model takes."""
    expected = getattr(model, "shape", None)
    if not isinstance(expected, Sequence):
        return
    if tuple(data.images.shape[1:]) != tuple(expected):
        raise ValueError(
            f"the model takes images of shape {tuple(expected)}; "
            f"{data.name} has {tuple(data.images.shape[1:])}"
        )


def check_labels(data: ImageData, model: nn.Module, objective: Objective | None, what: str) -> None:
    """Raise ``ValueError`` unless the labels are classes of a model that is told or asked them.

    On a GPU a label beyond the last class ends the process; on a CPU, training in the middle.
    """
    classes = None
    ours = objective is None or getattr(objective, "__module__", "").startswith("vae_core.")
    if ours and isinstance(model, CVAE) and type(model).condition_of is CVAE.condition_of:
        classes = model.classes
    elif objective is None and isinstance(model, Classifier):
        classes = model.last.out_features
    if classes is None:
        return
    if bool((data.labels == NO_LABEL).all()):
        raise ValueError(f"a {type(model).__name__} with classes needs labels, and {what} has none")
    wrong = ((data.labels < 0) | (data.labels >= classes)).nonzero()
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(
            f"labels must lie in 0 .. {classes - 1}, for the model has {classes} classes; "
            f"{what}.labels[{first}] is {int(data.labels[first])}"
        )


# ---- numbers -----------------------------------------------------------------------------------


def seed_of(value: Any) -> int:
    """A seed that every generator takes. Raises ``ValueError`` for any other."""
    seed = _check.whole("seed", value, least=0)
    if seed >= 2**63 - 8:  # three streams are counted on from it
        raise ValueError(f"seed must be below 2**63 - 8; got {seed}")
    return seed


def learning_rate_of(value: Any) -> float:
    """A finite number above 0. Raises ``ValueError`` for any other."""
    rate = number("learning_rate", value)
    if not 0 < rate < math.inf:
        raise ValueError(f"learning_rate must be a positive number; got {rate}")
    return rate
