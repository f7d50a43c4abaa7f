"""What the ufuncs of scipy.special are called with, where (0.2, 0.8) is not inside of their domain."""

from __future__ import annotations

from typing import Any

import numpy as np

_DEGREE = np.array([3, 2, 4])
_SHARE = np.array([0.3, 0.55, 0.7])
_SMALL = np.array([0.25, 0.4, 0.6])
_MEDIUM = np.array([1.3, 2.1, 2.8])
_COUNT = np.array([2.0, 3.0, 4.0])

#: Whole orders, as numbers that may have fractions.
_ORDER = np.array([0, 1, 2])
_VALUE = np.array([2.0, 6.1, 12.2])

#: The arguments by the ufunc's name.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    **{name: (_DEGREE, _MEDIUM) for name in ("jn", "yn", "kn", "expn")},
    **{name: (_SMALL, _MEDIUM) for name in ("jv", "yv", "iv", "kv", "jve", "yve", "ive", "kve", "struve", "modstruve")},
    **{
        name: (_DEGREE, _SHARE)
        for name in (
            "eval_chebyt", "eval_chebyu", "eval_legendre", "eval_laguerre", "eval_hermite", "eval_hermitenorm",
            "eval_chebyc", "eval_chebys", "eval_sh_chebyt", "eval_sh_chebyu", "eval_sh_legendre",
        )
    },
    "eval_gegenbauer": (_DEGREE, _MEDIUM, _SHARE),
    "eval_genlaguerre": (_DEGREE, _SMALL, _SHARE),
    "eval_jacobi": (_DEGREE, _SMALL, _MEDIUM, _SHARE),
    "eval_sh_jacobi": (_DEGREE, _MEDIUM, _SMALL, _SHARE),
    "binom": (_MEDIUM + 3, _SMALL + 1),
    "bdtr": (_COUNT, np.array([5, 6, 7]), _SHARE),
    "bdtrc": (_COUNT, np.array([5, 6, 7]), _SHARE),
    "bdtri": (_COUNT, np.array([5, 6, 7]), _SHARE),
    "bdtrik": (_SHARE, _COUNT + 3, _SHARE),
    "bdtrin": (_COUNT, _SHARE, _SHARE),
    "nbdtr": (_DEGREE, _DEGREE, _SHARE),
    "nbdtrc": (_DEGREE, _DEGREE, _SHARE),
    "nbdtri": (_DEGREE, _DEGREE, _SHARE),
    "nbdtrik": (_SHARE, _COUNT, _SHARE),
    "nbdtrin": (_COUNT, _SHARE, _SHARE),
    "pdtr": (_COUNT, _MEDIUM),
    "pdtrc": (_COUNT, _MEDIUM),
    "pdtri": (_DEGREE, _SHARE),
    "pdtrik": (_SHARE, _MEDIUM),
    "chdtr": (_MEDIUM, _MEDIUM),
    "chdtrc": (_MEDIUM, _MEDIUM),
    "chdtri": (_MEDIUM, _SHARE),
    "fdtr": (_MEDIUM, _MEDIUM + 1, _MEDIUM),
    "fdtrc": (_MEDIUM, _MEDIUM + 1, _MEDIUM),
    "fdtri": (_MEDIUM, _MEDIUM + 1, _SHARE),
    "gdtr": (_SMALL, _MEDIUM, _MEDIUM),
    "gdtrc": (_SMALL, _MEDIUM, _MEDIUM),
    "stdtr": (_MEDIUM, np.array([-1.0, 0.5, 2.0])),
    "stdtrit": (_MEDIUM, _SHARE),
    "hyp1f1": (_SMALL, _MEDIUM, _SHARE),
    "hyp2f1": (_SMALL, _MEDIUM, _MEDIUM + 1, _SHARE),
    "hyperu": (_SMALL, _MEDIUM, _MEDIUM),
    "ndtri_exp": (-_MEDIUM,),
    "erfcinv": (_MEDIUM / 2,),
    "gammaincinv": (_MEDIUM, _SHARE),
    "gammainccinv": (_MEDIUM, _SHARE),
    "betaincinv": (_MEDIUM, _MEDIUM + 1, _SHARE),
    "betainccinv": (_MEDIUM, _MEDIUM + 1, _SHARE),
    "huber": (_SHARE, np.array([0.2, -1.0, 2.0])),
    "boxcox": (_MEDIUM, np.array([0.5, -1.0, 0.0])),
    "inv_boxcox": (_SHARE, np.array([0.5, 1.5, 2.0])),
    "inv_boxcox1p": (_SHARE, np.array([0.5, 1.5, 2.0])),
    "spence": (np.array([0.4, 1.0, 2.5]),),
    "exprel": (np.array([-1.0, 0.0, 0.5]),),
    "ellipk": (np.array([-1.0, 0.0, 0.5]),),
    "ellipe": (np.array([-1.0, 0.0, 0.5]),),
    "shichi": (_MEDIUM,),
    "sici": (_MEDIUM,),
    "lpmv": (np.array([1, 0, 2]), np.array([3, 2, 4]), _SHARE),
    "radian": (np.array([10.0, 20.0, 30.0]), _COUNT, _COUNT),
    "log_ndtr": (np.array([-30.0, -1.0, 0.5]),),
    "i1e": (np.array([-1.0, 0.5, 2.0]),),
    "wrightomega": (np.array([-1.0, 0.5, 2.0]),),
    "kl_div": (_SHARE, _SMALL),
    "powm1": (_SHARE, _MEDIUM),
    "zetac": (_MEDIUM + 1,),
    "smirnov": (_DEGREE, _SHARE),
    "smirnovi": (_DEGREE, _SHARE),
    "besselpoly": (_SMALL, _SMALL, _MEDIUM),
    "tklmbda": (np.array([0.2, -0.3, 0.7]), np.array([1.0, 0.5, 2.0])),
    **{f"mathieu_{name}": (np.array([1, 2, 3]), _SMALL) for name in ("a", "b")},
    **{f"mathieu_{name}": (np.array([1, 2, 3]), _SMALL, np.array([20.0, 40.0, 100.0])) for name in ("cem", "sem")},
    **{
        f"mathieu_{name}": (np.array([1, 2, 3]), _SMALL, _SHARE)
        for name in ("modcem1", "modcem2", "modsem1", "modsem2")
    },
    **{f"{kind}_cv": (_ORDER, _ORDER + 1, _SMALL) for kind in ("pro", "obl")},
    **{f"{kind}_ang1": (_ORDER, _ORDER + 1, _SMALL, _SHARE) for kind in ("pro", "obl")},
    **{f"{kind}_ang1_cv": (_ORDER, _ORDER + 1, _SMALL, _VALUE, _SHARE) for kind in ("pro", "obl")},
    **{f"{kind}_rad{i}": (_ORDER, _ORDER + 1, _SMALL, _MEDIUM) for kind in ("pro", "obl") for i in (1, 2)},
    **{f"{kind}_rad{i}_cv": (_ORDER, _ORDER + 1, _SMALL, _VALUE, _MEDIUM) for kind in ("pro", "obl") for i in (1, 2)},
    "airye": (_MEDIUM,),
    "agm": (_MEDIUM, _SHARE),
    "pbdv": (_SMALL, _MEDIUM),
    "pbvv": (_SMALL, _MEDIUM),
    "pbwa": (_SMALL, _MEDIUM),
    "chndtr": (_MEDIUM, _MEDIUM + 2, _SMALL),
    "chndtrix": (_SHARE, _MEDIUM + 2, _SMALL),
    "elliprf": (_SHARE, _MEDIUM, _SMALL + 1),
    "elliprc": (_SHARE, _MEDIUM),
    "nrdtrimn": (_SHARE + 0.1, _MEDIUM, _MEDIUM),
    "nrdtrisd": (_SMALL, _SHARE / 2 + 0.4, _MEDIUM),
    "gdtria": (_SHARE, _MEDIUM, _MEDIUM),
    "gdtrix": (_SMALL, _MEDIUM, _SHARE),
}  # fmt: skip


def arguments_of(ufunc: np.ufunc) -> tuple[Any, ...]:
    """Give arrays of three elements, inside of the domain of a ufunc."""
    shares = [np.array([0.35, 0.5, 0.75]) + 0.04 * i for i in range(ufunc.nin)]
    return ARGUMENTS.get(ufunc.__name__, tuple(shares))
