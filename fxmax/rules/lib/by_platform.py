"""A function that several rules share and that has another form on one platform.

A rule of one platform is registered in the table. What rules call is not in it: `@by_platform` makes the
choice there, in the same terms.

    @by_platform
    def matmul(ctx, a, b): ...      # for any platform

    @matmul.on("gpu")
    def _(ctx, a, b): ...           # for a GPU, in its place
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar

from fxmax.core.context import Context
from fxmax.core.table import Platform

P = ParamSpec("P")
R = TypeVar("R")


class ByPlatform(Generic[P, R]):
    """`general`, but on a platform that has a form of its own, that form.

    A form that does not take all of its platform's cases calls `general` for the rest.
    """

    def __init__(self, general: Callable[Concatenate[Context, P], R]) -> None:
        self.general = general
        self._forms: dict[Platform | None, Callable[Concatenate[Context, P], R]] = {}

    def on(
        self, platform: Platform
    ) -> Callable[[Callable[Concatenate[Context, P], R]], Callable[Concatenate[Context, P], R]]:
        """Decorator: the function's form on `platform`."""

        def register(form: Callable[Concatenate[Context, P], R]) -> Callable[Concatenate[Context, P], R]:
            self._forms[platform] = form
            return form

        return register

    def __call__(self, ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._forms.get(ctx.platform, self.general)(ctx, *args, **kwargs)


def by_platform(general: Callable[Concatenate[Context, P], R]) -> ByPlatform[P, R]:
    """Decorator: `general`, to which `on` adds forms."""
    return ByPlatform(general)
