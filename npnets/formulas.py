"""The papers' cost formulas with the papers' symbols: mult-adds of one layer or block for one image, exactly.

=========  ======================================================================================================
symbol     what it is
=========  ======================================================================================================
D_K        side of the kernel
D_F        side of the output; MobileNets' formulas have stride 1, where it is that of the input too
M, N       input and output channels
alpha      width multiplier: alpha M and alpha N stand for M and N
rho        resolution multiplier: rho D_F stands for D_F
g          groups
h, w       height and width of the output
c, m       ShuffleNet's letters for a unit: its channels, and those of its bottleneck
=========  ======================================================================================================

Taps that fall outside of the image are included, as in the papers; `taps_inside` counts those that do not.
"""

from fractions import Fraction

from npnets import _check


def standard(D_K: int, M: int, N: int, D_F: int) -> int:
    """Return D_K^2 M N D_F^2: a standard convolution (MobileNets, equation 2).

    Examples
    --------
    >>> standard(D_K=3, M=512, N=512, D_F=14)
    462422016
    """
    return group(D_K, M, N, D_F, 1)


def depthwise(D_K: int, M: int, D_F: int) -> int:
    """Return D_K^2 M D_F^2: a depthwise convolution (MobileNets, equation 4).

    Examples
    --------
    >>> depthwise(D_K=3, M=512, D_F=14)
    903168
    """
    return group(D_K, M, M, D_F, M)


def pointwise(M: int, N: int, D_F: int) -> int:
    """Return M N D_F^2: a pointwise (1 x 1) convolution, the second term of MobileNets' equation 5.

    Examples
    --------
    >>> pointwise(M=512, N=512, D_F=14)
    51380224
    """
    return group(1, M, N, D_F, 1)


def separable(D_K: int, M: int, N: int, D_F: int) -> int:
    """Return D_K^2 M D_F^2 + M N D_F^2: depthwise, then pointwise (MobileNets, equation 5).

    Examples
    --------
    >>> separable(D_K=3, M=512, N=512, D_F=14)
    52283392
    """
    return depthwise(D_K, M, D_F) + pointwise(M, N, D_F)


def ratio(D_K: int, N: int) -> Fraction:
    """Return 1/N + 1/D_K^2: the cost of a separable convolution as a share of the standard one's.

    Examples
    --------
    >>> ratio(D_K=3, N=512)
    Fraction(521, 4608)
    >>> ratio(3, 512) == Fraction(separable(3, 512, 512, 14), standard(3, 512, 512, 14))
    True
    """
    D_K, N = _whole(D_K=D_K, N=N)
    return Fraction(1, N) + Fraction(1, D_K**2)


def multipliers(D_K: int, M: int, N: int, D_F: int, alpha: Fraction | float = 1, rho: Fraction | float = 1) -> Fraction:
    """Return D_K^2 alpha M (rho D_F)^2 + alpha M alpha N (rho D_F)^2 (MobileNets, equations 6 and 7).

    The formula itself, which does not round alpha M to whole channels. A float counts with its exact value: .75 is 3/4,
    .1 is not 1/10.

    Examples
    --------
    >>> multipliers(D_K=3, M=512, N=512, D_F=14, alpha=0.75, rho=Fraction(10, 14))
    Fraction(15091200, 1)
    """
    D_K, M, N, D_F = _whole(D_K=D_K, M=M, N=N, D_F=D_F)
    alpha, rho = Fraction(alpha), Fraction(rho)
    _check.number("alpha", float(alpha), 0, strictly=True)
    _check.number("rho", float(rho), 0, strictly=True)
    side = rho * D_F
    return D_K**2 * alpha * M * side**2 + alpha * M * alpha * N * side**2


def group(D_K: int, M: int, N: int, D_F: int, g: int) -> int:
    """Return D_K^2 (M/g) N D_F^2: each of g groups of M/g inputs feeds its own N/g outputs (ShuffleNet, section 3.1).

    Examples
    --------
    >>> group(D_K=1, M=480, N=120, D_F=14, g=3)
    3763200
    """
    D_K, M, N, D_F = _whole(D_K=D_K, M=M, N=N, D_F=D_F)
    return D_K**2 * (M // _check.groups(g, M, N)) * N * D_F**2


def shufflenet_unit(h: int, w: int, c: int, m: int, g: int) -> int:
    """Return h w (2 c m / g + 9 m): two pointwise group convolutions and a 3 x 3 depthwise one between them.

    ShuffleNet, section 3.2, for a unit of stride 1.

    Examples
    --------
    >>> shufflenet_unit(h=14, w=14, c=480, m=120, g=3)
    7738080
    """
    h, w, c, m = _whole(h=h, w=w, c=c, m=m)
    return h * w * (2 * c * m // _check.groups(g, c, m) + 9 * m)


def resnet_unit(h: int, w: int, c: int, m: int) -> int:
    """Return h w (2 c m + 9 m^2): two pointwise convolutions and a 3 x 3 one between them (ShuffleNet, section 3.2).

    Examples
    --------
    >>> resnet_unit(h=14, w=14, c=480, m=120)
    47980800
    """
    return resnext_unit(h, w, c, m, 1)


def resnext_unit(h: int, w: int, c: int, m: int, g: int) -> int:
    """Return h w (2 c m + 9 m^2 / g): as `resnet_unit`, its 3 x 3 convolution with g groups (ShuffleNet, section 3.2).

    Examples
    --------
    >>> resnext_unit(h=14, w=14, c=480, m=120, g=3)
    31046400
    """
    h, w, c, m = _whole(h=h, w=w, c=c, m=m)
    return h * w * (2 * c * m + 9 * m * (m // _check.groups(g, m, m)))


def taps_inside(side: int, kernel: int, out: int, *, stride: int = 1, before: int = 0, dilation: int = 1) -> int:
    """Count the taps, along one axis, that fall inside of the image: of the `kernel` * `out` that the formulas count.

    Output k and kernel entry i meet at `stride` k + `dilation` i - `before`. A convolution that leaves the others out,
    as `loops` does, executes (M/g) N times the product of both axes' counts.

    Examples
    --------
    >>> taps_inside(side=14, kernel=3, out=14, before=1)  # one of three at either end has nothing to multiply
    40
    """
    met = (stride * k + dilation * i - before for k in range(out) for i in range(kernel))
    return sum(0 <= row < side for row in met)


def _whole(**numbers: int) -> list[int]:
    return [_check.integer(name, value, 1) for name, value in numbers.items()]
