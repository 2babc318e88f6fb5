"""What of torch's op database is out of scope, and what in scope is expected to fail, each with why.

Names and patterns are regular expressions that match an op's whole name. A sample that is
expected to fail and passes fails the suite: take it off the list.
"""

from __future__ import annotations

import re

COMPLEX = "complex tensors: MAX has no complex dtype"
RANDOM = "draws random numbers, so there is nothing to compare"
LAPACK = "a matrix factorization (LAPACK), outside Core ATen"
SPECIAL = "a special function of scientific computing, outside Core ATen"
OUTSIDE = "outside Core ATen, with no decomposition in torch"
DATA = "its output's shape depends on the data"
STORAGE = "about storage and strides, which a MAX value does not have"
SPARSE = "sparse tensors"
TRAINING = "training only"
NO_EXPORT = "torch.export can't trace it"
UNDEFINED = "its output's values are undefined"

OUT_OF_SCOPE: dict[str, str] = {
    r"fft\..*|stft|istft|view_as_complex|complex|polar|cdouble|cfloat|chalf": COMPLEX,
    r"rand.*|normal.*|bernoulli|cauchy|exponential|geometric|log_normal|uniform|multinomial": RANDOM,
    r"nn\.functional\.(.*dropout.*|rrelu|fractional_max_pool.d)": RANDOM,
    r"pca_lowrank|svd_lowrank": RANDOM,
    r"linalg\.(?!cross|diagonal|vecdot|vector_norm|multi_dot|vander|matrix_norm|norm|matrix_power).*": LAPACK,
    r"linalg\.(matrix_rank.*|norm\.subgradients.*)|norm\.nuc|matrix_exp|logdet": LAPACK,
    r"cholesky.*|geqrf|lu.*|ormqr|pinverse|qr|svd|triangular_solve": LAPACK,
    r"special\.(airy|bessel|chebyshev|hermite|laguerre|legendre|modified|scaled).*": SPECIAL,
    r"special\.(shifted|spherical).*": SPECIAL,
    r"special\.(erfcx|i0e|i1e?|log_ndtr|ndtri|zeta|polygamma.*)|polygamma.*|igammac?|i0": SPECIAL,
    r"unique|unique_consecutive|combinations|nonzero_static": DATA,
    r"erfinv|digamma|frexp|mode|special\.(erfinv|digamma|psi)": OUTSIDE,
    r"histogram(dd)?|bincount|_?segment_reduce.*|hash_tensor|repeat_interleave": DATA,
    r"as_strided.*|resize_.*|new_empty_strided|empty_strided|empty_permuted": STORAGE,
    r"empty|empty_like|new_empty": UNDEFINED,
    r"to_sparse|sparse\..*": SPARSE,
    r".*_backward|nn\.functional\.max_unpool.d\.grad": TRAINING,
    r"allclose|equal|corrcoef|cov|item|tensor_split|jiterator.*": NO_EXPORT,
    r"nn\.functional\.(ctc_loss|gaussian_nll_loss|linear_cross_entropy\.chunked.*)": NO_EXPORT,
}

# Sample id pattern → why it fails.
EXPECTED_FAILURES: dict[str, str] = {
    r"nn\.functional\.one_hot-int64-0": "the number of classes is read from the data (num_classes=-1)",
    r"(arg)?sort-bool-0": "an unstable sort: the order of equal values is torch's choice",
    r"(topk|kthvalue)-int64-0": "of equal values, which one's index is torch's choice (here the first)",
    r"linalg\.matrix_norm-float32-(4|63)": "the nuclear and 2-norms need an SVD, which MAX has none of",
    r"linalg\.matrix_power-float32-17": "a negative power needs an inverse, which MAX has not",
    r"narrow-float32-9": "torch.export can't trace a start that is a tensor",
    r"nn\.functional\.embedding-float32-6": "max_norm writes to the weight, as in training",
    r"nn\.functional\.embedding(_bag)?-float32-(9|48)": "max_norm writes to the weight, as in training",
    r"nn\.functional\.multi_head_attention_forward-float32-(17|191)": "dropout draws random numbers",
    r"index_put-float32-3": "a mask and values of another number than its places, which there are none of",
}


def out_of_scope(name: str) -> str | None:
    """Why an op is out of scope, or None."""
    return _first(OUT_OF_SCOPE, name)


def expected_failure(id: str) -> str | None:
    """Why a sample is expected to fail, or None."""
    return _first(EXPECTED_FAILURES, id)


def _first(reasons: dict[str, str], text: str) -> str | None:
    return next((why for pattern, why in reasons.items() if re.fullmatch(pattern, text)), None)
