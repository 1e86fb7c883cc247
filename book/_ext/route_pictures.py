"""A small picture for each chapter's card on the front page: SVG, drawn from the curves in it.

``PICTURES[n]()`` is chapter n's. Lines take the text's colour, and what matters the book's own
(class ``a``), so that a picture follows the theme. None carries words that only it says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

WIDTH, HEIGHT, BASE = 120, 64, 54
Point = tuple[float, float]
Curve = Callable[[float], float]

SEVEN = "M{x0} {y0}H{x1}L{xm} {y1}"


def number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def path(points: Sequence[Point], kind: str = "", closed: bool = False) -> str:
    """A line through ``points``."""
    text = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return (
        f'<path{kind and f" class={chr(34)}{kind}{chr(34)}"} d="M{text}{"Z" if closed else ""}"/>'
    )


def curve(
    of: Curve, kind: str = "", low: float = 6, high: float = 114, closed: bool = False
) -> str:
    """The curve y = of(x), in the picture's own units, upwards from the base line."""
    steps = 44
    xs = [low + (high - low) * k / steps for k in range(steps + 1)]
    points = [(x, BASE - of(x)) for x in xs]
    if closed:
        points = [(low, BASE), *points, (high, BASE)]
    return path(points, kind, closed)


def bell(mean: float, sigma: float, height: float) -> Curve:
    return lambda x: height * math.exp(-0.5 * ((x - mean) / sigma) ** 2)


def dot(x: float, y: float, radius: float = 2.4, kind: str = "f") -> str:
    return f'<circle class="{kind}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>'


def ring(x: float, y: float, radius: float, kind: str = "") -> str:
    own = kind and f' class="{kind}"'
    return f'<circle{own} cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>'


def box(x: float, y: float, width: float, height: float, kind: str = "") -> str:
    own = kind and f' class="{kind}"'
    size = f'width="{number(width)}" height="{number(height)}"'
    return f'<rect{own} x="{number(x)}" y="{number(y)}" {size}/>'


def arrow(x0: float, y0: float, x1: float, y1: float, kind: str = "") -> str:
    """A line with a head at its end."""
    angle = math.atan2(y1 - y0, x1 - x0)
    head = [
        (x1 - 5 * math.cos(angle + turn), y1 - 5 * math.sin(angle + turn)) for turn in (-0.5, 0.5)
    ]
    return path([(x0, y0), (x1, y1)], kind) + path([head[0], (x1, y1), head[1]], kind)


def seven(x: float, y: float, size: float, kind: str = "w") -> str:
    """A handwritten seven in a square."""
    line = SEVEN.format(
        x0=number(x + 0.2 * size), y0=number(y + 0.2 * size), x1=number(x + 0.8 * size),
        xm=number(x + 0.42 * size), y1=number(y + 0.85 * size),
    )  # fmt: skip
    return f'<path class="{kind}" d="{line}"/>'


def ground() -> str:
    return path([(4, BASE), (116, BASE)], "t")


# --- the chapters --------------------------------------------------------------------------


def generative() -> str:
    """A hidden point makes an image."""
    return (
        ring(24, 32, 18, "t") + ring(24, 32, 9, "t") + dot(30, 26, 3, "f a")
        + arrow(46, 32, 68, 32) + box(76, 12, 40, 40) + seven(76, 12, 40)
    )  # fmt: skip


def objective() -> str:
    """Draws from a wide prior; hardly one meets the narrow likelihood."""
    draws = (14, 22, 31, 38, 43, 47, 52, 55, 59, 63, 66, 71, 79, 84)
    spots = "".join(dot(x, BASE + 4, 1.6) for x in draws)
    return ground() + curve(bell(54, 20, 28)) + curve(bell(98, 2.6, 44), "a") + spots


def bound() -> str:
    """The bound under the log-likelihood, and the gap between them."""
    return (
        path([(8, 14), (112, 14)], "d") + box(24, 26, 26, 28, "b") + box(70, 18, 26, 36, "b")
        + arrow(37, 25, 37, 15, "a") + path([(83, 17), (83, 14)], "a") + ground()
    )  # fmt: skip


def divergence() -> str:
    """Two Gaussians: the prior, and a narrower one away from it."""
    return ground() + curve(bell(46, 18, 26)) + curve(bell(78, 8, 42), "a b", closed=True)


def reconstruction() -> str:
    """Pixels of an image against what the decoder says of them."""
    seen = (0.15, 0.5, 0.95, 0.75, 0.3, 0.1, 0.4, 0.8)
    said = (0.25, 0.45, 0.75, 0.8, 0.42, 0.2, 0.3, 0.62)
    parts = [ground()]
    for k, (x, mean) in enumerate(zip(seen, said, strict=True)):
        at = 12 + 13.6 * k
        parts += [
            path([(at, BASE - 42 * x), (at, BASE - 42 * mean)], "a w"),
            dot(at, BASE - 42 * x, 2.6),
        ]
    parts.append(path([(12 + 13.6 * k, BASE - 42 * mean) for k, mean in enumerate(said)]))
    return "".join(parts)


def reparameterization() -> str:
    """Noise enters from the side; the gradient goes back through mean and width."""
    return (
        ring(24, 18, 9) + ring(24, 48, 9, "d") + box(52, 22, 20, 22) + ring(98, 33, 9)
        + arrow(34, 20, 51, 28) + arrow(34, 46, 51, 38, "d") + arrow(73, 33, 88, 33)
        + arrow(92, 20, 34, 11, "a") + dot(24, 18, 2.4) + dot(24, 48, 2.4) + dot(98, 33, 2.4)
    )  # fmt: skip


def testing() -> str:
    """Bounds with more and more draws rise towards the likelihood."""
    rising: Curve = lambda x: 40 - 34 * math.exp(-(x - 6) / 26)  # noqa: E731
    dots = "".join(dot(x, BASE - rising(x), 2.4, "f a") for x in (8, 18, 34, 56, 82, 110))
    return path([(6, 14), (114, 14)], "d") + ground() + curve(rising) + dots


def error_term() -> str:
    """A posterior with two peaks, and the Gaussian that stands for it."""
    first, second = bell(42, 9, 38), bell(76, 11, 24)
    return ground() + curve(lambda x: first(x) + second(x)) + curve(bell(46, 14, 34), "a d")


def information() -> str:
    """A digit becomes bits, and the bits the digit."""
    bits = "0110100111"
    marks = [
        box(46 + 12 * (k % 5), 20 + 14 * (k // 5), 7, 10, "f" if bit == "1" else "")
        for k, bit in enumerate(bits)
    ]
    return box(4, 17, 30, 30) + seven(4, 17, 30) + "".join(marks) + arrow(106, 32, 117, 32, "a")


def knob() -> str:
    """A knob, with its scale."""
    ticks = []
    for k in range(9):
        angle = math.radians(150 + 30 * k)
        ends = [(60 + r * math.cos(angle), 36 + r * math.sin(angle)) for r in (24, 28)]
        ticks.append(path(ends, "t"))
    hand = math.radians(150 + 30 * 5.4)
    tip = (60 + 17 * math.cos(hand), 36 + 17 * math.sin(hand))
    return ring(60, 36, 19) + "".join(ticks) + path([(60, 36), tip], "a w")


def conditional() -> str:
    """Half an image is given, the other half is drawn in several ways."""
    return (
        box(6, 12, 40, 40) + path([(6, 32), (46, 32)], "d")
        + '<path class="w" d="M16 20H38L33 32"/>'
        + arrow(52, 32, 68, 32)
        + box(76, 12, 40, 40) + '<path class="w" d="M86 20H108L103 32"/>'
        + '<path class="a w" d="M103 32L94 46"/><path class="a d" d="M103 32L103 47M103 32L82 46"/>'
    )  # fmt: skip


def code() -> str:
    """A few lines of code, one of them the KL term."""
    lines = ((8, 14, 54), (16, 23, 62), (16, 32, 40), (16, 41, 72), (8, 50, 34))
    parts = [path([(x, y), (x + length, y)], "w a" if y == 41 else "w") for x, y, length in lines]
    return (
        "".join(parts) + ring(100, 24, 14, "t") + ring(100, 24, 7, "t") + dot(104, 21, 2.6, "f a")
    )


def representation() -> str:
    """Points near a bent line: the straight axis misses what the bend keeps."""
    bend: Curve = lambda x: 24 + 16 * math.sin((x - 8) / 17)  # noqa: E731
    spots = "".join(dot(x, BASE - bend(x) + 5 * math.sin(2.3 * x), 1.7) for x in range(8, 114, 5))
    return path([(6, 22), (114, 44)], "d") + curve(bend, "a") + spots


def applications() -> str:
    """A shirt with a hole in it, filled."""
    shirt = [
        (44, 12), (54, 16), (66, 16), (76, 12), (94, 24), (86, 34), (78, 30), (78, 56), (42, 56),
        (42, 30), (34, 34), (26, 24),
    ]  # fmt: skip
    return path(shirt, closed=True) + box(52, 28, 18, 16, "a b d")


PICTURES: dict[int, Callable[[], str]] = {
    1: generative, 2: objective, 3: bound, 4: divergence, 5: reconstruction, 6: reparameterization,
    7: testing, 8: error_term, 9: information, 10: knob, 11: conditional, 12: code,
    13: representation, 14: applications,
}  # fmt: skip


def picture(number_of_chapter: int) -> str:
    """The whole SVG of a chapter's card, beside whose title it is mere ornament."""
    return (
        f'<svg class="vae-route-picture" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true" '
        f'focusable="false">{PICTURES[number_of_chapter]()}</svg>'
    )
